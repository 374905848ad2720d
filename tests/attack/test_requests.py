"""Clients that send requests that are not valid, or send them slowly, harm nothing."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from api.body_timeout import BodyTimeoutMiddleware
from errors import InvalidRequest
from tests.attack.cases import FAMILIES, MULTIPART, ODD_HOSTS, ODD_ORIGINS, SMUGGLING, UNFINISHED
from tests.attack.target import Target, check_raw_answer
from tests.faults.calls import (
    PNG,
    SUBMISSION,
    Board,
    all_tasks,
    answer_of,
    ended,
    exchange,
    raw,
    send_raw,
    submit,
)
from tests.processes import start_service

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

# The server waits for the rest of what looks unfinished.
UNANSWERED_AFTER_S = 0.5


def test_there_are_four_hundred_odd_requests() -> None:
    assert len({request for requests in FAMILIES.values() for request in requests}) >= 400


@pytest.mark.parametrize("family", FAMILIES)
async def test_odd_requests_are_each_answered_by_a_problem_and_harm_nothing(
    target: Target, family: str
) -> None:
    for request in FAMILIES[family]:
        patience_s = UNANSWERED_AFTER_S if request in UNFINISHED else 60
        answer = await send_raw(target.url, request, patience_s=patience_s)
        try:
            check_raw_answer(answer)
        except (AssertionError, ValueError) as exc:
            raise AssertionError(f"{request[:300]!r} was answered by {answer}") from exc
    target.check()


@pytest.mark.parametrize("number", range(len(SMUGGLING)))
async def test_a_request_is_never_taken_for_two(target: Target, number: int) -> None:
    """Of the second request, which is inside the first one's body, the answer would come, too."""
    answer = await exchange(target.url, SMUGGLING[number], UNANSWERED_AFTER_S)
    assert answer.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("host", ODD_HOSTS[:10])
async def test_a_foreign_host_reads_and_starts_nothing(target: Target, host: str) -> None:
    for method, path in (("GET", "/tasks"), ("POST", "/submit_task")):
        request = raw(method, path).replace(b"Host: localhost", b"Host: " + host.encode())
        answer = await send_raw(target.url, request)
        assert answer.status in {400, 403}, answer


@pytest.mark.parametrize("origin", ODD_ORIGINS[:4])
async def test_a_foreign_origin_starts_nothing(target: Target, origin: str) -> None:
    request = raw("POST", "/submit_task", f"Origin: {origin}", body=json.dumps(SUBMISSION).encode())
    assert (await send_raw(target.url, request)).status == 403


async def test_without_a_proxy_an_invented_address_has_no_rate_of_its_own(
    board: Board, tmp_path: Path
) -> None:
    env = {"FORWARDED_ALLOW_IPS": "", "RATE_LIMIT_PER_MINUTE": "1"}
    with start_service(board.url, tmp_path / "tasks.db", env=env) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
            answers = [
                await client.post("/submit_task", json=SUBMISSION, headers={"X-Forwarded-For": address})
                for address in ("192.0.2.1", "192.0.2.2")
            ]
    assert [answer.status_code for answer in answers] == [202, 429]


SLOW_REQUESTS = [
    (raw(method, path, header).replace(b"Length: 0", b"Length: 1000"), body)
    for method, path, header, body in (
        ("POST", "/submit_task", "X-Slow: a", b'{"webappId":"1"' + b" " * 100),
        ("POST", "/get_node_info", "X-Slow: a", b" " * 100),
        ("POST", "/task/query_task_status", "X-Slow: a", b" " * 100),
        ("POST", "/tasks/1/settle", "X-Slow: a", b" " * 100),
        ("POST", "/submit_tasks", "X-Slow: a", b" " * 100),
        ("POST", f"/webhooks/runninghub/1/{'0' * 64}", "X-Slow: a", b" " * 100),
        (
            "POST",
            "/upload",
            MULTIPART,
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 100,
        ),
    )
]


@asynccontextmanager
async def slow_clients(url: str, count: int) -> AsyncIterator[None]:
    """Half of them stop after half a body, the others send on, byte after byte."""
    writers = []
    for number in range(count):
        _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        head, body = SLOW_REQUESTS[number % len(SLOW_REQUESTS)]
        writer.write(head + body[: len(body) // 2])
        writers.append(writer)

    async def drip() -> None:
        while True:
            await asyncio.sleep(0.1)
            for writer in writers[::2]:
                writer.write(b" ")

    dripping = asyncio.create_task(drip())
    try:
        yield
    finally:
        dripping.cancel()
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def test_slow_clients_hold_no_task_and_no_lock_and_keep_nobody_waiting(
    board: Board, tmp_path: Path
) -> None:
    with start_service(board.url, tmp_path / "tasks.db", env={"POLL_INTERVAL_S": "0.1"}) as service:
        async with (
            slow_clients(service.url, 300),
            httpx.AsyncClient(base_url=service.url, timeout=30) as client,
        ):
            began = time.monotonic()
            for _ in range(10):
                assert (await ended(client, await submit(client)))["status"] == "SUCCESS"
            upload = await client.post("/upload", files={"file": ("cat.png", PNG)})
            assert answer_of(upload)[0] == 200
            assert time.monotonic() - began < 20
            health = (await client.get("/health")).json()
            assert (health["status"], health["tasks"]["SUCCESS"]) == ("ok", 10)
            assert len(await all_tasks(client)) == 10
        assert "Traceback" not in service.log.read_text()
    assert board.runs_called() == 10


async def test_a_body_that_does_not_arrive_in_time_is_an_invalid_request() -> None:
    async def read_body(_: Scope, receive: Receive, __: Send) -> None:
        while (await receive()).get("more_body"):
            pass

    async def one_byte() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(_: Message) -> None: ...

    service = BodyTimeoutMiddleware(read_body, body_s=0.05, upload_s=0.05)
    for path in ("/submit_task", "/upload"):
        with pytest.raises(InvalidRequest, match="did not arrive within"):
            await service({"type": "http", "method": "POST", "path": path}, one_byte, send)
