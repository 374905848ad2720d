"""Replies of RunningHub that the simulator cannot give."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.api.routes.calls import ID, Service, assert_problem, submission, submit, task_of, until

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


@asynccontextmanager
async def runninghub_that_says(**replies: bytes) -> AsyncIterator[str]:
    """An upstream of raw bytes, by the last word of the path: for what the simulator cannot say."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        await reader.readexactly(int(length[1]) if length else 0)
        path = head.split()[1].partition(b"?")[0].decode()
        writer.write(replies.get(path.rpartition("/")[2], b""))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def raw(body: bytes, *headers: bytes) -> bytes:
    lines = (b"HTTP/1.1 200 OK", *headers, b"Content-Length: %d" % len(body), b"Connection: close")
    return b"\r\n".join((*lines, b"", body))


ACCEPTED = raw(b'{"code":0,"data":{"taskId":"1990000000000000003","taskStatus":"RUNNING"}}')


@pytest.mark.parametrize(
    ("data", "results"),
    [
        (b'[{"fileUrl":"cut \\ud83d"}]', [{"fileUrl": "cut ?"}]),
        (b'[{"x":NaN,"y":1e999}]', [{"x": None, "y": None}]),
        (b'[1,"a",null,[2]]', [1, "a", None, [2]]),
        (b'[{"x":"a\\u0000b"}]', [{"x": "a\0b"}]),
    ],
)
async def test_odd_results_are_stored_and_can_be_read(service: Service, data: bytes, results: Any) -> None:
    outputs = raw(b'{"code":0,"data":' + data + b"}")
    async with (
        runninghub_that_says(run=ACCEPTED, outputs=outputs) as url,
        service(runninghub_base_url=url) as client,
    ):
        answer = await submit(client)
        task = await until(client, answer["task_id"], "SUCCESS")
        assert task["result_data"] == results
        assert (await client.get("/tasks")).json()["tasks"] == [task]


async def test_a_cut_character_in_a_failures_text_does_not_keep_the_task_open(service: Service) -> None:
    reason = b'{"exception_message":"cut \\ud83d"}'
    outputs = raw(b'{"code":805,"msg":"","data":{"failedReason":' + reason + b"}}")
    async with (
        runninghub_that_says(run=ACCEPTED, outputs=outputs) as url,
        service(runninghub_base_url=url) as client,
    ):
        answer = await submit(client)
        assert (await until(client, answer["task_id"], "FAILED"))["error"]["message"] == "cut ?"


@pytest.mark.parametrize(
    "reply",
    [
        raw(b"no gzip", b"Content-Encoding: gzip"),
        raw(b"no deflate", b"Content-Encoding: deflate"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        raw(b'{"code":0,"data":' + b"[" * 5000 + b"]" * 5000 + b"}"),
        raw(b'{"code":' + b"1" * 5000 + b"}"),
        raw(b'{"code":0,"data":{"taskId":["1"]}}'),
    ],
    ids=["gzip", "deflate", "short", "chunks", "no http", "deep", "digits", "list"],
)
async def test_a_broken_reply_to_the_paid_call_leaves_an_unknown_task(service: Service, reply: bytes) -> None:
    async with (
        runninghub_that_says(run=reply, accountStatus=reply, apiCallDemo=reply) as url,
        service(runninghub_base_url=url) as client,
    ):
        response = await client.post("/submit_task", json=submission())
        assert_problem(response, "runninghub_unavailable", 503, task_id=ID)
        task = await task_of(client, response.json()["task_id"])
        assert (task["status"], task["error"]["code"]) == ("SUBMIT_UNKNOWN", response.json()["code"])
        assert (await client.get("/account")).status_code in {200, 503}


async def test_a_redirect_of_the_paid_call_was_no_run_and_the_task_waits(service: Service) -> None:
    reply = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    async with (
        runninghub_that_says(run=reply, accountStatus=reply, apiCallDemo=reply) as url,
        service(runninghub_base_url=url) as client,
    ):
        answer = await submit(client)
        assert answer["status"] == "PENDING"
        assert (await task_of(client, answer["task_id"]))["waiting"]["code"] == "runninghub_unavailable"
