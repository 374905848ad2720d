"""The simulator's switches, services in front of it, and the calls that the tests of routes share."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from simulator.apps import TEXT_TO_IMAGE
from tests.in_process import serving

UNKNOWN_APP = "1111111111111111111"
LONG = {"run_time": 600}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

Json = dict[str, Any]


class Like:
    """Equal to every text that the pattern describes."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self.pattern, other) is not None

    def __hash__(self) -> int:
        return hash(self.pattern)

    def __repr__(self) -> str:
        return f"Like({self.pattern!r})"


ID = Like("[0-9a-f]{32}")
RUNNINGHUB_ID = Like(r"\d{19}")
TIME = Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TEXT = Like("(?s).{10,}")


class Board:
    """The simulator's switches."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def set(self, **switches: Any) -> None:
        (await self.client.patch("/simulator/switches", json=switches)).raise_for_status()

    async def fault(self, endpoint: str, kind: str, **details: Any) -> None:
        await self.set(faults={endpoint: {"kind": kind, **details}})

    async def tasks(self) -> list[Json]:
        found: list[Json] = (await self.client.get("/simulator/tasks")).json()
        return found

    async def calls(self, endpoint: str) -> int:
        counters = (await self.client.get("/simulator/counters")).json()
        return int(counters["calls"].get(endpoint, 0))

    async def sent(self, endpoint: str) -> Json:
        """The members that RunningHub was last sent; of a key only whether there was one."""
        last = (await self.client.get("/simulator/last-request", params={"endpoint": endpoint})).json()
        members: Json = last["members"]
        return members


class Service:
    """Starts services on this test's database, all with the same simulator."""

    def __init__(self, simulator_url: str, directory: Path) -> None:
        self.simulator_url = simulator_url
        self.directory = directory

    @asynccontextmanager
    async def __call__(self, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        url = settings.pop("runninghub_base_url", self.simulator_url)
        async with serving(url, self.directory, **settings) as client:
            yield client

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.directory / "tasks.db") as connection:
            found = connection.execute(statement).fetchall()
        connection.close()
        return found


def text_node(text: Any = "a cat") -> Json:
    return {"nodeId": "15", "fieldName": "text", "fieldType": "STRING", "fieldValue": text}


def submission(text: Any = "a cat", webapp_id: Any = TEXT_TO_IMAGE, **members: Any) -> Json:
    return {"webappId": webapp_id, "nodeInfoList": [text_node(text)], **members}


async def submit(client: httpx.AsyncClient, text: Any = "a cat", **members: Any) -> Json:
    response = await client.post("/submit_task", json=submission(text, **members))
    assert response.status_code == 202, response.text
    answer: Json = response.json()
    return answer


async def task_of(client: httpx.AsyncClient, task_id: str) -> Json:
    response = await client.get(f"/tasks/{task_id}")
    assert response.status_code == 200, response.text
    task: Json = response.json()
    return task


async def until(client: httpx.AsyncClient, task_id: str, status: str, within_s: float = 20) -> Json:
    """The task once it has the status; fails when it does not get there in time."""
    async with asyncio.timeout(within_s):
        while (task := await task_of(client, task_id))["status"] != status:
            await client.get(f"/tasks/{task_id}", params={"wait": 1})
    return task


async def unknown_task(client: httpx.AsyncClient, board: Board, text: str = "lost") -> str:
    """The id of a task that runs at RunningHub, whose paid call got no answer."""
    await board.fault("run", "lost_reply", times=1)
    response = await client.post("/submit_task", json=submission(text))
    assert response.status_code == 504, response.text
    task_id: str = response.json()["task_id"]
    return task_id


async def eventually(is_so: Callable[[], Awaitable[bool]], within_s: float = 20) -> None:
    """Ask again and again until it is so; fails when that takes too long."""
    async with asyncio.timeout(within_s):
        while not await is_so():  # noqa: ASYNC110 the event is in another process
            await asyncio.sleep(0.02)


async def ended_at_runninghub(board: Board) -> None:
    async def has_ended() -> bool:
        return all(task["finished_at"] for task in await board.tasks())

    await eventually(has_ended)


def problem(code: str, status: int, **members: Any) -> Json:
    return {
        "type": f"/docs#problem-{code}",
        "title": TEXT,
        "status": status,
        "detail": TEXT,
        "code": code,
        **members,
    }


def assert_problem(response: httpx.Response, code: str, status: int, **members: Any) -> None:
    assert response.json() == problem(code, status, **members)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


CODES = {
    "invalid_request": 422,
    "invalid_node_info": 422,
    "unauthorized": 401,
    "forbidden_host": 403,
    "task_not_found": 404,
    "webapp_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_cancellable": 409,
    "not_unknown": 409,
    "idempotency_key_reused": 422,
    "body_too_large": 413,
    "file_too_large": 413,
    "unsupported_file": 415,
    "too_many_pending": 429,
    "rate_limited": 429,
    "insufficient_balance": 402,
    "runninghub_not_configured": 503,
    "runninghub_rejected": 502,
    "runninghub_unavailable": 503,
    "runninghub_timeout": 504,
    "database_unavailable": 503,
    "not_ready": 503,
    "internal_error": 500,
}
