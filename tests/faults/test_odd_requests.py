"""Clients that send requests that are not valid, or send them slowly."""

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
from simulator.apps import TEXT_TO_IMAGE
from tests.faults.calls import (
    BIG,
    PNG,
    Board,
    RawAnswer,
    all_tasks,
    answer_of,
    check_answer,
    ended,
    nested,
    raw,
    send_raw,
    submit,
)
from tests.processes import Running, start_service

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


ODD_BODIES = [
    *(
        b"",
        b"null",
        b"true",
        b"7",
        b"[]",
        b"{}",
        b'"text"',
        b"{",
        b"nonsense",
        b"\x00",
        b"\xff\xfe",
        b"[[",
        b"1e",
    ),
    *(b'\xef\xbb\xbf{"webappId":"1"}', '{"webappId":"1"}'.encode("utf-16"), b'{"webappId":"\xff"}'),
    *(f"{nested(depth)}".encode() for depth in (1_000, 10_000, 100_000)),
    *(b'{"webappId":' * depth for depth in (1_000, 100_000)),
    *(
        f'{{"{name}":{value}}}'.encode()
        for name in ("webappId", "taskId", "runninghub_task_id", "nodeInfoList")
        for value in (
            "null",
            "true",
            "1.5",
            "1e999",
            "NaN",
            BIG,
            "-1",
            "[]",
            "{}",
            '""',
            '"\\ud800"',
            '"\\u0000"',
        )
    ),
    *(
        f'{{"webappId":"{TEXT_TO_IMAGE}","nodeInfoList":{nodes}}}'.encode()
        for nodes in (
            *("null", '"x"', "{}", "[null]", "[[]]", "[{}]", "[1]", f"[{'{},' * 1000}{{}}]", nested(1000)),
            '[{"nodeId":null,"fieldName":"a","fieldValue":1}]',
            '[{"nodeId":"15","fieldName":"text","fieldValue":1e999}]',
            '[{"nodeId":"15","fieldName":"text","fieldValue":NaN}]',
            f'[{{"nodeId":"15","fieldName":"text","fieldValue":{BIG}}}]',
            f'[{{"nodeId":"15","fieldName":"text","fieldValue":{nested(900)}}}]',
            f'[{{"nodeId":"15","fieldName":"text","fieldValue":"{"x" * 200_001}"}}]',
            '[{"nodeId":"15","fieldName":"text","fieldValue":"\\ud800"}]',
            '[{"nodeId":"15","fieldName":"text","fieldType":{},"fieldValue":"a"}]',
            '[{"nodeId":"\\u0000","fieldName":"\\ud800","fieldValue":"a"}]',
        )
    ),
    f'{{"webappId":"{TEXT_TO_IMAGE}","webappId":"2","nodeInfoList":[],"nodeInfoList":null}}'.encode(),
    f'{{"webappId":"{TEXT_TO_IMAGE}","nodeInfoList":[],"instanceType":"\\ud800"}}'.encode(),
    f'{{"webappId":"{TEXT_TO_IMAGE}","nodeInfoList":[],"accessPassword":"\\ud800\\u0000"}}'.encode(),
    f'{{"webappId":"{TEXT_TO_IMAGE}","nodeInfoList":[],"accessPassword":{nested(500)}}}'.encode(),
    b'{"resubmit":true,"runninghub_task_id":"1"}',
    b'{"resubmit":"perhaps"}',
]
ODD_IDS = [
    *(
        "0",
        "-1",
        "%00",
        "%ff",
        "%ED%A0%80",
        "%F0%9F%98%80",
        "%2e%2e",
        "..%2f..",
        "%0d%0a",
        "a" * 64,
        "a" * 65,
    ),
    *("a" * 10_000, "1" * 64, "%25", "%", "%zz", "'%20OR%201=1--", "*", ";", "%5c", "null", "\u00e9", "+"),
]
ODD_QUERIES = [
    *(
        "limit=0",
        "limit=201",
        "limit=1e3",
        "limit=NaN",
        "limit=%00",
        f"limit={BIG}",
        "limit=",
        "limit=1&limit=x",
    ),
    *("cursor=", "cursor=-1", f"cursor={'9' * 18}", f"cursor={'9' * 19}", "cursor=%00", "cursor=\u0663"),
    *("status=", "status=running", "status=RUNNING&status=x", "status=%00", f"status={'x' * 10_000}"),
    *("webapp_id=%00", "webapp_id=%ff", f"webapp_id={'1' * 65}", "webapp_id=%ED%A0%80", "a[]=1&&&==", "%"),
]
ODD_HEADERS = [
    ("/submit_task", header)
    for header in (
        *(
            "Idempotency-Key:",
            f"Idempotency-Key: {'k' * 256}",
            "Idempotency-Key: \u00ff\u0100",
            "Cookie: =;=;;",
        ),
        *(
            "Content-Type: text/plain",
            "Content-Type: application/json; charset=unheard-of",
            "Content-Type: x",
        ),
        *(
            "Content-Encoding: gzip",
            "Transfer-Encoding: identity",
            f"X-Request-ID: {'x' * 65}",
            "X-Request-ID: {}",
        ),
        *("Origin: null", "Origin: http://evil.example", "Origin: \u00ff", "Sec-Fetch-Site: cross-site"),
        *("Authorization: Bearer", "Authorization: \u00ff", "Accept: nothing/at-all", "Range: bytes=0-1"),
        *(
            "Expect: 100-continue",
            "Expect: nothing",
            "Upgrade: websocket",
            'Forwarded: for="',
            "X-Giant: " + "a" * 60_000,
        ),
    )
]
MULTIPART = "Content-Type: multipart/form-data; boundary=x"
ODD_UPLOADS = [
    *(
        raw("POST", "/upload", "Content-Type: " + kind, json_body=False)
        for kind in ("multipart/form-data", "x", "")
    ),
    *(
        raw("POST", "/upload", MULTIPART, body=body, json_body=False)
        for body in (
            *(
                b"",
                b"--x--",
                b"--x\r\n\r\n--x--",
                b"--y\r\n",
                b"\x00" * 1000,
                b"--x\r\nA" * 1000,
                b"-" * 100_000,
            ),
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--',
            b'--x\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--x--',
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nhalf',
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="\xff\x00/../a.exe"\r\n\r\nMZ',
            b"--x\r\nContent-Disposition: " + b"a" * 100_000 + b"\r\n\r\nx\r\n--x--",
        )
    ),
]
BODY_PATHS = (
    *("/get_node_info", "/submit_task", "/task/query_task_status", "/tasks/1/settle"),
    f"/webhooks/runninghub/1/{'0' * 64}",
)
ODD_REQUESTS = [
    *(raw("POST", path, body=body) for path in BODY_PATHS for body in ODD_BODIES),
    *(raw("GET", f"/tasks/{odd}") for odd in ODD_IDS),
    *(raw("POST", f"/tasks/{odd}/cancel") for odd in ODD_IDS),
    *(raw("POST", f"/webhooks/runninghub/{odd}/{odd}") for odd in ODD_IDS),
    *(raw("GET", f"/tasks/{odd}/events", "Last-Event-ID: \u0663") for odd in ODD_IDS),
    *(
        raw("GET", f"/web/{odd}")
        for odd in (*ODD_IDS, "../config.py", "%2e%2e/config.py", "..%5cconfig.py", "//")
    ),
    *(raw("GET", f"/tasks?{query}") for query in ODD_QUERIES),
    *(raw("GET", f"/tasks/1?wait={wait}") for wait in ("-1", "61", "NaN", "inf", "1e999", "", "%00")),
    *(
        raw("GET", path)
        for path in ("//", "/\u00e9", "/tasks/", "/.env", "/tasks.db", "/docs/", "http://x/health", "/?%")
    ),
    *(
        raw(method, path)
        for method in ("PUT", "DELETE", "PATCH", "TRACE", "FOO")
        for path in ("/", "/tasks", "/x")
    ),
    *(
        raw("POST", path, header, body=b"{}", json_body="Content-Type" not in header)
        for path, header in ODD_HEADERS
    ),
    *ODD_UPLOADS,
    raw("GET", "/health").replace(b"localhost", b"evil.example"),
    raw("GET", "/health").replace(b"Host: localhost\r\n", b""),
    raw("POST", "/submit_task").replace(b"Length: 0", b"Length: 9999999999999"),
]


async def test_four_hundred_odd_requests_are_each_answered_by_a_problem(
    real_service: Running, board: Board
) -> None:
    assert len(set(ODD_REQUESTS)) >= 400
    for request in ODD_REQUESTS:
        answer = await send_raw(real_service.url, request)
        # The server refuses on its own what is no HTTP.
        if answer != RawAnswer(400, "text/plain; charset=utf-8", b"Invalid HTTP request received."):
            try:
                check_answer(answer.status, answer.content_type, answer.body)
                assert 200 <= answer.status < 500 or answer.status == 502
            except (AssertionError, ValueError) as exc:
                raise AssertionError(f"{request[:300]!r} was answered by {answer}") from exc
    assert "Traceback" not in real_service.log.read_text()
    health = await send_raw(real_service.url, raw("GET", "/health"))
    assert json.loads(health.body)["status"] == "ok"


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
