"""The simulator's switches, and the calls and checks that the fault tests share."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from errors import AppError
from models import TaskStatus
from simulator.apps import TEXT_TO_IMAGE
from tests.http_client import client_of
from tests.processes import API_KEY, start_simulator

Json = dict[str, Any]
Answer = tuple[int, str]  # status, and the problem's code or the task's status

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
SUBMISSION = {"webappId": TEXT_TO_IMAGE, "nodeInfoList": []}
STATUS_BY_CODE = {error.code: error.status_code for error in AppError.__subclasses__()}

UNAVAILABLE = (503, "runninghub_unavailable")
TIMED_OUT = (504, "runninghub_timeout")
REJECTED = (502, "runninghub_rejected")
WAITS = (202, "PENDING")


@contextmanager
def start_board() -> Iterator["Board"]:
    """A simulator that responds at once; a fixture resets it before each test."""
    with (
        start_simulator(run_time=0, queue_time=0, slots=0) as simulator,
        client_of(simulator.url) as http,
    ):
        yield Board(http)


class Board:
    """The simulator's switches. It responds at once, so that tests may block on it."""

    def __init__(self, http: httpx.Client) -> None:
        self.url = str(http.base_url).rstrip("/")
        self._http = http

    def reset(self, **switches: Any) -> None:
        self._http.post("/simulator/reset").raise_for_status()
        self.set(**switches)

    def set(self, **switches: Any) -> None:
        self._http.patch("/simulator/switches", json=switches).raise_for_status()

    def faults(self) -> Json:
        faults: Json = self._http.get("/simulator/switches").json()["faults"]
        return faults

    def counters(self) -> Json:
        counters: Json = self._http.get("/simulator/counters").json()
        return counters

    def runs_called(self) -> int:
        return int(self.counters()["calls"].get("run", 0))

    def tasks(self) -> dict[str, str]:
        return {task["taskId"]: task["status"] for task in self._http.get("/simulator/tasks").json()}


def answer_of(response: httpx.Response) -> Answer:
    """Also asserts that a refusal is a problem of the table."""
    check_answer(response.status_code, response.headers.get("content-type", ""), response.content)
    body = response.json()
    return response.status_code, body.get("code") or body.get("status") or ""


def check_answer(status: int, content_type: str, body: bytes) -> None:
    assert API_KEY.encode() not in body
    if status < 400:
        return
    assert content_type == "application/problem+json", body
    problem = json.loads(body)
    assert problem["status"] == status == STATUS_BY_CODE[problem["code"]]
    assert problem["type"] == f"/docs#problem-{problem['code']}"
    assert problem["title"]
    assert problem["detail"]


async def submit(client: httpx.AsyncClient, **members: Any) -> str:
    answer = await client.post("/submit_task", json=SUBMISSION | members)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


async def ended(client: httpx.AsyncClient, task_id: str) -> Json:
    """The task when it is final."""
    while True:
        task: Json = (await client.get(f"/tasks/{task_id}", params={"wait": 10})).json()
        if TaskStatus(task["status"]).is_final:
            return task


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - another process makes it true
        await asyncio.sleep(0.02)


async def all_tasks(client: httpx.AsyncClient) -> list[Json]:
    tasks: list[Json] = []
    cursor: Json = {}
    while True:
        page = (await client.get("/tasks", params={"limit": 200, **cursor})).json()
        tasks += page["tasks"]
        if page["next_cursor"] is None:
            return tasks
        cursor = {"cursor": page["next_cursor"]}


async def every_route(client: httpx.AsyncClient, to_ask: str, to_cancel: str) -> dict[str, Answer]:
    """The answers of all routes that talk to RunningHub."""
    calls = {
        "/get_node_info": client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE, "refresh": True}),
        "/upload": client.post("/upload", files={"file": ("cat.png", PNG)}),
        "/account": client.get("/account"),
        "/task/query_task_status": client.post("/task/query_task_status", json={"taskId": to_ask}),
        "/tasks/{id}/cancel": client.post(f"/tasks/{to_cancel}/cancel"),
        "/submit_task": client.post("/submit_task", json=SUBMISSION),
    }
    return dict(zip(calls, map(answer_of, await asyncio.gather(*calls.values())), strict=True))


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


BIG = "1" + "0" * 5000


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came back over a socket; status 0: nothing."""

    status: int = 0
    content_type: str = ""
    body: bytes = b""


async def send_raw(url: str, request: bytes, *, patience_s: float = 60) -> RawAnswer:
    """Send bytes as they are, and read to the end, or for so long: the server may wait for more."""
    answer = await exchange(url, request, patience_s)
    head, _, body = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    if not head:
        return RawAnswer()
    content_type = re.search(rb"(?im)^content-type: ([^\r]*)", head)
    return RawAnswer(int(head.split()[1]), content_type[1].decode() if content_type else "", body)


async def exchange(url: str, request: bytes, patience_s: float) -> bytes:
    """All that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
    answer = b""
    try:
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(patience_s):
                writer.write(request)
                await writer.drain()
                while chunk := await reader.read(65_536):
                    answer += chunk
    finally:
        writer.close()
    return answer


def raw(method: str, path: str, *headers: str, body: bytes = b"", json_body: bool = True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    lines += ["Content-Type: application/json"] if json_body else []
    lines += [f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body
