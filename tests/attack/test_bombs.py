"""Replies of RunningHub, or of whoever is in its place, that grow when they are read."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from tests.attack.target import Target, start_target
from tests.faults.test_odd_replies import OddUpstream, odd_upstream, reply

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

CHOICES = json.dumps([[f"choice {number}" for number in range(500)], {"default": "a"}])
FIELD = {"nodeName": "N", "fieldName": "f", "fieldType": "LIST", "fieldValue": "a", "fieldData": CHOICES}


def spaces() -> bytes:
    return b" " * 100_000_000


def lists() -> bytes:
    return b'{"code":0,"data":[' + b"[]," * 5_000_000 + b"[]]}"


def form() -> bytes:
    fields = [{"nodeId": str(number), **FIELD} for number in range(3000)]
    return json.dumps({"code": 0, "data": {"nodeInfoList": fields}}).encode()


# Built when they are sent: they take seconds, and hundreds of megabytes.
BOMBS: dict[str, Callable[[], bytes]] = {
    "packed once": lambda: reply(gzip.compress(spaces(), 1), "Content-Encoding: gzip"),
    "packed three times": lambda: reply(
        gzip.compress(gzip.compress(gzip.compress(spaces()))), "Content-Encoding: gzip, gzip, gzip"
    ),
    "deflated": lambda: reply(zlib.compress(spaces(), 1), "Content-Encoding: deflate"),
    "in an unknown encoding": lambda: reply(b"x" * 1000, "Content-Encoding: br"),
    "packed lists": lambda: reply(gzip.compress(lists(), 1), "Content-Encoding: gzip"),
    "lists": lambda: reply(lists()),
    "objects": lambda: reply(b'{"code":0,"data":[' + b'{"a":0},' * 1_900_000 + b"0]}"),
    "one text": lambda: reply(b'{"code":0,"data":"' + b"x" * 20_000_000 + b'"}'),
    "nested": lambda: reply(b"[" * 10_000_000),
    "digits": lambda: reply(b'{"code":' + b"1" * 10_000_000 + b"}"),
    "3,000 fields of 500 choices": lambda: reply(form()),
}


@pytest.fixture(scope="module")
async def bombed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[OddUpstream, Target]]:
    async with odd_upstream() as (upstream, url):
        upstream.answer = reply(b"{}")
        directory: Path = tmp_path_factory.mktemp("bombed")
        with ExitStack() as stack:
            target = await asyncio.to_thread(stack.enter_context, start_target(url, directory))
            yield upstream, target
            await asyncio.to_thread(stack.close)


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_an_unusable_reply_and_neither_grows_nor_blocks_the_service(
    bombed: tuple[OddUpstream, Target], name: str
) -> None:
    upstream, target = bombed
    target.reset()
    upstream.answer = BOMBS[name]()
    async with httpx.AsyncClient(base_url=target.url, timeout=60) as client:
        for call in (
            client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE, "refresh": True}),
            client.get("/account"),
            client.post("/task/query_task_status", json={"taskId": "1" * 19}),
        ):
            response = await call
            assert (response.status_code, response.json()["code"]) == (503, "runninghub_unavailable")
    await asyncio.to_thread(target.check)
