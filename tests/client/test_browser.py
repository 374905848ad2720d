"""The client in Chromium, on a page of another origin: uploads, reloads, and a service that is killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from simulator.apps import TEXT_TO_IMAGE
from tests.browser import WAIT_MS, serve_files, start_chromium
from tests.http_client import http_client
from tests.processes import ROOT, Running, free_port, start_service, start_simulator

QUICK = {"POLL_INTERVAL_S": "0.1", "POLL_INTERVAL_MAX_S": "0.2"}
OPEN = """async (baseUrl) => {
  const { createGateway } = await import('/dist/gateway.js');
  globalThis.gateway = createGateway({ baseUrl, retryDelayMs: 50 });
  globalThis.changes = [];
}"""
START = """([webappId, values]) => {
  globalThis.running = gateway.run(webappId, { values, onChange: ({ status }) => changes.push(status) })
    .then(({ task }) => task.status, (error) => `${error.name}: ${error.code}`);
}"""
UPLOAD = """async (abortAt) => {
  const abort = new AbortController();
  const shares = [];
  const onProgress = (share) => {
    shares.push(share);
    if (share >= abortAt) abort.abort();
  };
  const file = new File([new Uint8Array(25_000_000)], 'cat.png');
  const end = await gateway.upload(file, { onProgress, signal: abort.signal })
    .then(({ fileName }) => fileName, (error) => error.name);
  return [end, shares];
}"""

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with start_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages_url() -> Iterator[str]:
    with serve_files(ROOT / "client") as url:
        yield url


@pytest.fixture(scope="module")
def simulator() -> Iterator[Running]:
    with start_simulator(queue_time=0.1, run_time=0.3, slots=0) as running:
        yield running


@pytest.fixture(scope="module")
def service(simulator: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start_service(simulator.url, tmp_path_factory.mktemp("service") / "tasks.db", env=QUICK) as running:
        yield running


@pytest.fixture
def page(browser: Browser, pages_url: str, service: Running, simulator: Running) -> Iterator[Page]:
    """A page without anything but the client, which talks to the service."""
    http_client.post(f"{simulator.url}/simulator/reset")
    page = browser.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{pages_url}/package.json")
    page.evaluate(OPEN, service.url)
    yield page
    page.close()


def paid_runs(simulator: Running) -> int:
    accepted: int = http_client.get(f"{simulator.url}/simulator/counters").json()["runs_accepted"]
    return accepted


def start(page: Page, values: dict[str, Any]) -> None:
    page.evaluate(START, [TEXT_TO_IMAGE, values])


def test_a_run_is_followed_by_events_from_another_origin(page: Page, simulator: Running) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    start(page, {"15.text": "a dog"})
    assert page.evaluate("running") == "SUCCESS"
    assert page.evaluate("changes.at(-1)") == "SUCCESS"
    assert [url for url in requested if url.endswith("/events")]
    assert [url for url in requested if "wait=" in url] == []


def test_an_upload_reports_its_progress(page: Page, simulator: Running) -> None:
    http_client.patch(f"{simulator.url}/simulator/switches", json={"upload_bytes_per_second": 25_000_000})
    file_name, shares = page.evaluate(UPLOAD, 2)
    assert file_name.endswith(".png")
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert any(0 < share < 1 for share in shares)


def test_an_upload_is_aborted_on_the_way(page: Page, simulator: Running) -> None:
    http_client.patch(f"{simulator.url}/simulator/switches", json={"upload_bytes_per_second": 1_000_000})
    end, shares = page.evaluate(UPLOAD, 0.01)
    assert end == "AbortError"
    assert shares[-1] < 1


def test_a_reload_in_the_middle_of_a_submit_pays_once(
    page: Page, service: Running, simulator: Running
) -> None:
    def arrive_without_response(route: Route) -> None:
        route.fetch()  # and the page never hears of it

    page.route("**/submit_task", arrive_without_response, times=1)
    with page.expect_request("**/submit_task"):
        start(page, {"15.text": "a dog"})
    page.wait_for_function("gateway.unfinished().length === 1")
    page.reload()
    page.evaluate(OPEN, service.url)
    assert page.evaluate("gateway.unfinished().map((run) => run.taskId)") == [None]
    resume = "gateway.resume(gateway.unfinished()[0].idempotencyKey).then(({ task }) => task.status)"
    assert page.evaluate(resume) == "SUCCESS"
    assert paid_runs(simulator) == 1
    assert page.evaluate("gateway.unfinished()") == []


def test_a_run_outlives_a_killed_service(page: Page, simulator: Running, tmp_path: Path) -> None:
    http_client.patch(f"{simulator.url}/simulator/switches", json={"run_time": 3})
    port, database = free_port(), tmp_path / "tasks.db"
    with start_service(simulator.url, database, env=QUICK, port=port) as first:
        page.evaluate(OPEN, first.url)
        start(page, {"15.text": "a dog"})
        page.wait_for_function("changes.includes('RUNNING')")
        first.kill()
    with start_service(simulator.url, database, env=QUICK, port=port):
        assert page.evaluate("running") == "SUCCESS"
    assert paid_runs(simulator) == 1
