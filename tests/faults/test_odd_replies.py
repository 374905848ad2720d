"""Replies of RunningHub that are no valid response."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.calls import BIG, all_tasks, answer_of, every_route, nested, submit
from tests.in_process import serving

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


def reply(
    body: bytes = b"", *headers: str, first: str = "HTTP/1.1 200 OK", length: int | None = None
) -> bytes:
    """Bytes of an HTTP answer, right or wrong."""
    lines = [first, f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def envelope(data: str = "null", code: str = "0", msg: str = '"success"') -> bytes:
    return reply(f'{{"code":{code},"msg":{msg},"data":{data}}}'.encode())


ODD_DATA = [
    *("true", "0", "-1.5", '"text"', "{}", "NaN", "1e999", BIG, nested(150), nested(500), nested(100_000)),
    *("[]", "[null]", "[[1]]", "[NaN]", "[1e999]", f"[{BIG}]", '["\\ud800"]', '["\\u0000"]'),
    f'["{"x" * 1_000_000}"]',
    *(f'{{"taskId":{value}}}' for value in ("{}", "null", "true", "1e3", BIG, '"\\ud800"', '"\\u0000"')),
    *(f'{{"taskId":"7{n}","promptTips":{tips}}}' for n, tips in enumerate(("[]", '"{"', "5"))),
    '{"taskId":"78","promptTips":{"node_errors":{"1":{"errors":[{"message":5,"extra_info":7}]}}}}',
    '{"taskId":"79","promptTips":{"node_errors":[1]},"taskStatus":7}',
    '{"fileName":"\\ud800","fileType":5}',
    '{"nodeInfoList":[null,1,"x",{},{"nodeId":{}},{"nodeId":"1","fieldName":"a","fieldData":"[[["}]}',
    json.dumps(
        {"nodeInfoList": [{"nodeId": "1", "fieldName": "a", "fieldType": "LIST", "fieldData": nested(9000)}]}
    ),
    '{"nodeInfoList":[{"nodeId":1e999,"fieldName":"a","fieldType":"INT","fieldData":'
    '"[\\"INT\\",{\\"min\\":1e999,\\"max\\":NaN,\\"default\\":1e400}]"}],"covers":[{"imageWidth":1e999}]}',
    '{"remainCoins":1e999,"currentTaskCounts":[],"remainMoney":NaN,"currency":"\\ud800","apiType":{}}',
    f'{{"remainCoins":1{"0" * 4000},"currentTaskCounts":true}}',
    f'[{{"fileUrl":1,"taskCostTime":1e999}},{{"taskCostTime":"nan"}},{{"taskCostTime":1{"0" * 400}}}]',
]
ODD_REPLIES = [
    *map(envelope, ODD_DATA),
    *(envelope(code=code) for code in (BIG, "1" + "0" * 50, "0.0", "null", "true", '"0"', '"x"', "-0", "[]")),
    *(
        envelope(code=code, msg=msg)
        for code in ("1005", "433", "803", "1")
        for msg in (BIG, "{}", "[]", "null", '"\\ud800"', '"\\u0000"', '"\\r\\nSet-Cookie: a=b"', f'"{BIG}"')
    ),
    *(envelope(f'{{"failedReason":{reason}}}', "1005") for reason in ("null", nested(500), BIG)),
    reply(b'\xef\xbb\xbf{"code":0}'),
    reply('{"code":0}'.encode("utf-16")),
    reply(b'{"code":0,"msg":"\xff"}'),
    reply(b"[]"),
    reply(b'{"code":0,"code":1005}'),
    reply(b"garbage", "Content-Encoding: gzip"),
    reply(gzip.compress(b'{"code":0}' * 1000)[:20], "Content-Encoding: gzip"),
    reply(b"garbage", "Content-Encoding: br"),
    reply(b'{"code":0}', "Content-Encoding: unheard-of"),
    reply(b'{"code":0}', "Content-Type: application/json; charset=unheard-of"),
    reply(b'{"code":0', length=500),
    reply(b'{"code":0}', length=-5),
    reply(b"zz\r\nxx", "Transfer-Encoding: chunked"),
    reply(b'{"code":0}', f"X-Giant: {'a' * 100_000}"),
    reply(b'{"code":0}', *(f"X-{number}: a" for number in range(5000))),
    reply(b'{"code":0}', "no header"),
    reply(b'{"code":0}', "Set-Cookie: name=\xff\x01; expires=never"),
    reply(first="HTTP/1.1 204 No Content"),
    reply(b"", "Location: http://127.0.0.1:1/", first="HTTP/1.1 302 Found"),
    reply(b"", first="HTTP/1.1 403 Forbidden"),
    reply(b"", first="HTTP/1.1 408 Request Timeout"),
    reply(b'{"code":0,"data":[]}', first="HTTP/1.1 500 Oh"),
    reply(b"", first="HTTP/1.1 999 Oh"),
    reply(b"", first="HTTP/1.1 42 Oh"),
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    b"SSH-2.0-OpenSSH_9.6\r\n",
]


def bomb() -> bytes:
    """Built when it is sent: this takes a second, and 300 MB."""
    return reply(gzip.compress(b" " * 300_000_000, 1), "Content-Encoding: gzip")


class OddUpstream:
    """Answers every request by `answer`, whatever it is, and ends the connection."""

    def __init__(self) -> None:
        self.answer = b""
        self.requests = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if length := re.search(rb"(?i)content-length: (\d+)", head):
                await reader.readexactly(int(length[1]))
            writer.write(self.answer)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def odd_upstream() -> AsyncIterator[tuple[OddUpstream, str]]:
    upstream = OddUpstream()
    server = await asyncio.start_server(upstream.handle, "127.0.0.1", 0)
    async with server:
        yield upstream, f"http://localhost:{server.sockets[0].getsockname()[1]}"


async def test_no_reply_of_runninghub_is_too_odd(tmp_path: Path) -> None:
    async with odd_upstream() as (upstream, url):
        for number, odd in enumerate([*ODD_REPLIES, bomb()]):
            # A service of its own for each: a paid call without a usable answer makes the next one wait.
            directory = tmp_path / str(number)
            directory.mkdir()
            upstream.answer = envelope(json.dumps({"taskId": str(10_000 + number)}))
            async with serving(url, directory, poll_interval_s=60, poll_interval_max_s=60) as client:
                to_ask, to_cancel = await submit(client), str(20_000 + number)
                await client.post("/task/query_task_status", json={"taskId": to_cancel})
                upstream.answer = odd
                answers = await every_route(client, to_ask, to_cancel)
                served = {status for status, code in answers.values()}
                assert served <= {200, 202, 404, 422, 502, 503, 504}, (odd[:300], answers)
                asked = (await client.get(f"/tasks/{to_ask}")).json()
                assert asked["status"] in {"QUEUED", "RUNNING", "SUCCESS"}, (odd[:300], asked)
                assert answer_of(await client.get("/health"))[0] == 200
                assert len(await all_tasks(client)) >= 2
