"""Traces: one span for a request and one for each call to RunningHub, and no secret in any of them."""

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
import respx
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from logs import LineFormatter, SecretMask, as_json
from tests.conftest import RUNNINGHUB_URL, RunningHub, answer
from tests.users.service import OPERATOR_TOKEN, Served, serving_users

pytestmark = pytest.mark.anyio

BODY = {"webappId": "1992755951447109633", "nodeInfoList": []}


class Traced:
    """A service that is traced, and the spans that it has ended."""

    def __init__(self, served: Served, exporter: InMemorySpanExporter) -> None:
        self.served = served
        self._exporter = exporter

    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def servers(self) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.kind is trace.SpanKind.SERVER]

    async def call(self, method: str, path: str, **members: object) -> str:
        """The request id of the response."""
        response = await self.served.call(OPERATOR_TOKEN, method, path, **members)
        return response.headers["x-request-id"]


@pytest.fixture
def runninghub() -> Iterator[RunningHub]:
    with respx.mock(using="httpx", assert_all_called=False) as router:
        router.route(host="127.0.0.1").pass_through()  # the service itself
        yield RunningHub(router)


@pytest.fixture
async def traced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runninghub: RunningHub
) -> AsyncIterator[Traced]:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # The provider of a process can be set once only; other tests are not to be traced.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    async with serving_users(tmp_path, runninghub_base_url=RUNNINGHUB_URL) as served:
        yield Traced(served, exporter)


async def test_a_request_and_its_calls_to_runninghub_are_one_trace(traced: Traced) -> None:
    request_id = await traced.call("POST", "/submit_task", json=BODY)

    (server,) = traced.servers()
    assert server.name == "POST /submit_task"
    assert server.attributes is not None
    assert server.attributes["request_id"] == request_id
    assert server.context is not None
    calls = {
        span.name: dict(span.attributes or {})
        for span in traced.spans()
        if span.context and span.context.trace_id == server.context.trace_id and span is not server
    }
    expected = {"server.address": "runninghub.test", "runninghub.code": "0", "request_id": request_id}
    assert calls == {
        "RunningHub /api/webapp/apiCallDemo": {"http.request.method": "GET", **expected},
        "RunningHub /task/openapi/ai-app/run": {"http.request.method": "POST", **expected},
    }


async def test_a_call_without_an_answer_is_an_error(traced: Traced, runninghub: RunningHub) -> None:
    runninghub.account.mock(return_value=respx.MockResponse(502, text="bad gateway"))
    await traced.call("GET", "/account")
    failed = [span for span in traced.spans() if not span.status.is_ok]
    assert [(span.attributes or {})["runninghub.code"] for span in failed if "RunningHub" in span.name] == [
        "HTTP 502"
    ]
    assert all(not span.events for span in failed)  # no exception with its text


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/tasks/x/events", "/tasks/x?wait=1"])
async def test_streams_long_polls_and_checks_have_no_span(traced: Traced, path: str) -> None:
    await traced.call("GET", path)
    assert traced.servers() == []


async def test_the_page_of_a_task_has_a_span_with_its_route(traced: Traced) -> None:
    await traced.call("GET", "/tasks/" + "0" * 32)
    assert [span.name for span in traced.servers()] == ["GET /tasks/{task_id}"]


async def test_no_span_has_a_signature_a_key_or_a_token(traced: Traced, runninghub: RunningHub) -> None:
    runninghub.account.respond(json=answer(0, {"remainCoins": "1"}))
    secrets = ["signature-of-a-link", "signature-of-a-webhook", "key-in-a-query", "key-in-a-path"]
    await traced.call("GET", f"/tasks/x/outputs/0?expires=1&signature={secrets[0]}")
    await traced.call("POST", f"/webhooks/runninghub/x/{secrets[1]}")
    await traced.call("GET", f"/api/webapp/apiCallDemo?webappId=1&apiKey={secrets[2]}")
    await traced.call("GET", f"/proxy/{secrets[3]}/x")
    await traced.call("POST", "/submit_task", json=BODY)

    assert len(traced.servers()) == 5
    key = traced.served.services.settings.accounts[0].api_key.get_secret_value()
    text = "".join(span.to_json() for span in traced.spans())
    assert [secret for secret in [*secrets, key, OPERATOR_TOKEN] if secret in text] == []


async def test_lines_of_a_traced_request_have_its_trace_id(
    traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    line = LineFormatter(as_json, SecretMask())
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(line.format(record))

    collect = Collect()
    logging.getLogger().addHandler(collect)
    try:
        await traced.call("GET", "/tasks/" + "0" * 32)
    finally:
        logging.getLogger().removeHandler(collect)
    (server,) = traced.servers()
    assert server.context is not None
    assert [f'"trace_id": "{server.context.trace_id:032x}"' in each for each in lines] == [True]


async def test_nothing_is_traced_unless_it_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    async with serving_users(tmp_path) as served:
        await served.call(OPERATOR_TOKEN, "GET", "/tasks")
        assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        with served.services.accounts.first.client._span("GET", "/x") as span:
            assert not span.is_recording()
