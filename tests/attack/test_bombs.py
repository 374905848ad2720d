"""Replies of RunningHub, or of whoever is in its place, that grow when they are read."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from tests.attack.target import Target, start_target
from tests.faults.test_odd_replies import OddUpstream, odd_upstream, reply

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

SPACES = b" " * 100_000_000
LISTS = b'{"code":0,"data":[' + b"[]," * 5_000_000 + b"[]]}"
CHOICES = json.dumps([[f"choice {number}" for number in range(500)], {"default": "a"}])
FIELD = {"nodeName": "N", "fieldName": "f", "fieldType": "LIST", "fieldValue": "a", "fieldData": CHOICES}
FORM = json.dumps(
    {"code": 0, "data": {"nodeInfoList": [{"nodeId": str(n), **FIELD} for n in range(3000)]}}
).encode()
BOMBS = {
    "packed once": reply(gzip.compress(SPACES, 1), "Content-Encoding: gzip"),
    "packed three times": reply(
        gzip.compress(gzip.compress(gzip.compress(SPACES))), "Content-Encoding: gzip, gzip, gzip"
    ),
    "deflated": reply(zlib.compress(SPACES, 1), "Content-Encoding: deflate"),
    "in an unknown encoding": reply(b"x" * 1000, "Content-Encoding: br"),
    "packed lists": reply(gzip.compress(LISTS, 1), "Content-Encoding: gzip"),
    "lists": reply(LISTS),
    "objects": reply(b'{"code":0,"data":[' + b'{"a":0},' * 1_900_000 + b"0]}"),
    "one text": reply(b'{"code":0,"data":"' + b"x" * 20_000_000 + b'"}'),
    "nested": reply(b"[" * 10_000_000),
    "digits": reply(b'{"code":' + b"1" * 10_000_000 + b"}"),
    "3,000 fields of 500 choices": reply(FORM),
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
    upstream.answer = BOMBS[name]
    async with httpx.AsyncClient(base_url=target.url, timeout=60) as client:
        for call in (
            client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE, "refresh": True}),
            client.get("/account"),
            client.post("/task/query_task_status", json={"taskId": "1" * 19}),
        ):
            response = await call
            assert (response.status_code, response.json()["code"]) == (503, "runninghub_unavailable")
    await asyncio.to_thread(target.check)
