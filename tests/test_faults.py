"""What RunningHub, the network, the disk, the process and a client can do wrong, and what each gives."""

import asyncio
import gzip
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from api.body_timeout import BodyTimeoutMiddleware
from api.schemas import webhook_body
from config import STARTUP_FAILURE, Settings, load_settings
from database import Database, Limits
from errors import AppError, DatabaseUnavailable, InvalidRequest
from models import AccountRow, LimiterRow, NewTask, TaskStatus
from services import Services, running
from simulator.apps import TEXT_TO_IMAGE
from task_service import Submission
from tasks.submit_limiter import after_full
from tests.conftest import PLANNER, RESPONDING
from tests.in_process import serving
from tests.processes import API_KEY, Running, start_service, start_simulator
from transitions import Accepted, Finished, NotStarted, OutcomeUnknown, RunFailed

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

Json = dict[str, Any]
Answer = tuple[int, str]  # status, and the problem's code or the task's status

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
SUBMISSION = {"webappId": TEXT_TO_IMAGE, "nodeInfoList": []}
STATUS_BY_CODE = {error.code: error.status_code for error in AppError.__subclasses__()}

UNAVAILABLE = (503, "runninghub_unavailable")
TIMED_OUT = (504, "runninghub_timeout")
REJECTED = (502, "runninghub_rejected")
WAITS = (202, "PENDING")


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


@pytest.fixture(scope="module")
def simulator() -> Iterator[Board]:
    with (
        start_simulator(run_time=0, queue_time=0, slots=0) as simulator,
        httpx.Client(base_url=simulator.url) as http,
    ):
        yield Board(http)


@pytest.fixture
def board(simulator: Board) -> Board:
    simulator.reset()
    return simulator


@pytest.fixture(scope="module")
def real_service(simulator: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start_service(simulator.url, tmp_path_factory.mktemp("real") / "tasks.db") as service:
        yield service


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


# RunningHub and the network


@dataclass(frozen=True, slots=True)
class Row:
    """`fault` strikes at every endpoint, or RunningHub is looked for at an `address` where it is not."""

    what: str
    asking: Answer
    submitting: Answer
    last_response: str
    fault: Json = field(default_factory=dict)
    address: str = ""
    runs_accepted: int = 0
    exceptions: dict[str, Answer] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.what


TABLE = [
    Row("connection refused", UNAVAILABLE, WAITS, "no answer", address="refused"),
    Row("name not found", UNAVAILABLE, WAITS, "no answer", address="unknown name"),
    Row("handshake not answered", UNAVAILABLE, WAITS, "no answer", address="deaf"),
    Row("no TLS", UNAVAILABLE, WAITS, "no answer", address="no TLS"),
    Row("closed before it was handled", UNAVAILABLE, TIMED_OUT, "no answer", {"kind": "close_before"}),
    Row("reset before", UNAVAILABLE, TIMED_OUT, "no answer", {"kind": "close_before", "reset": True}),
    Row("closed after", UNAVAILABLE, TIMED_OUT, "no answer", {"kind": "lost_reply"}, runs_accepted=1),
    Row(
        "reset after",
        UNAVAILABLE,
        TIMED_OUT,
        "no answer",
        {"kind": "lost_reply", "reset": True},
        runs_accepted=1,
    ),
    Row("hanging", TIMED_OUT, TIMED_OUT, "no answer", {"kind": "hang"}, runs_accepted=1),
    Row(
        "a byte a second",
        TIMED_OUT,
        TIMED_OUT,
        "HTTP 200",
        {"kind": "slow_bytes", "seconds": 1},
        runs_accepted=1,
    ),
    Row("a page", UNAVAILABLE, UNAVAILABLE, "HTTP 200", {"kind": "html_200"}),
    Row("HTTP 500", UNAVAILABLE, UNAVAILABLE, "HTTP 500", {"kind": "http_500_html"}),
    Row("HTTP 502", UNAVAILABLE, UNAVAILABLE, "HTTP 502", {"kind": "http_502_html"}),
    Row("HTTP 504", UNAVAILABLE, UNAVAILABLE, "HTTP 504", {"kind": "http_504_html"}),
    Row(
        "HTTP 502 for a call that was handled",
        UNAVAILABLE,
        UNAVAILABLE,
        "HTTP 502",
        {"kind": "http_502_html", "handled": True},
        runs_accepted=1,
    ),
    Row("HTTP 429", REJECTED, WAITS, "HTTP 429", {"kind": "http_429"}),
    Row("HTTP 401", REJECTED, WAITS, "-1", {"kind": "http_401"}),
    Row("half an answer", UNAVAILABLE, UNAVAILABLE, "HTTP 200", {"kind": "invalid_json"}),
    Row("an empty answer", UNAVAILABLE, UNAVAILABLE, "HTTP 200", {"kind": "empty"}),
    Row(
        "other types of data",
        UNAVAILABLE,
        UNAVAILABLE,
        "0",
        {"kind": "wrong_types"},
        exceptions={"/get_node_info": (200, "")},  # a form without fields
    ),
    Row("a huge answer", UNAVAILABLE, UNAVAILABLE, "HTTP 200", {"kind": "huge", "megabytes": 40}),
    Row("the key refused", REJECTED, WAITS, "802", {"kind": "code", "code": 802, "msg": API_KEY}),
    Row("no free slot", REJECTED, WAITS, "421", {"kind": "code", "code": 421}),
    Row("a code that nobody knows", REJECTED, REJECTED, "98765", {"kind": "code", "code": 98765}),
]


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port where nobody accepts and the queue is full, so that handshakes are not answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(("127.0.0.1", port))
        yield port
        for client in clients:
            client.close()


@pytest.fixture(scope="module")
def addresses(simulator: Board) -> Iterator[dict[str, str]]:
    with deaf_port() as port:
        yield {
            "": simulator.url,
            "refused": "http://127.0.0.1:1",
            "unknown name": "http://runninghub.invalid",
            "deaf": f"http://127.0.0.1:{port}",
            "no TLS": simulator.url.replace("http:", "https:"),
        }


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


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_a_fault_of_runninghub_or_the_network_gives_its_problem_and_loses_nothing(
    board: Board, tmp_path: Path, addresses: dict[str, str], row: Row
) -> None:
    slow_watch = {"poll_interval_s": 60, "poll_interval_max_s": 60}
    async with serving(board.url, tmp_path, **slow_watch) as client:
        to_ask, to_cancel = await submit(client), await submit(client)

    board.set(faults={"*": row.fault} if row.fault else {})
    address = addresses[row.address]
    patience_s = 0.5 if row.asking == TIMED_OUT or row.address else 10
    async with serving(address, tmp_path, runninghub_timeout_s=patience_s, **slow_watch) as client:
        answers = await every_route(client, to_ask, to_cancel)
        assert answers == dict.fromkeys(answers, row.asking) | {
            "/submit_task": row.submitting,
            "/tasks/{id}/cancel": (200, "RUNNING"),  # kept, and sent until RunningHub confirms it
            **row.exceptions,
        }
        (submitted, *others) = await all_tasks(client)
        assert [task["status"] for task in others] == ["RUNNING", "RUNNING"]
        settled = {REJECTED: "FAILED", WAITS: "PENDING"}.get(row.submitting, "SUBMIT_UNKNOWN")
        assert submitted["status"] == settled
        assert (submitted["error"] or {}).get("code") == (None if settled == "PENDING" else row.submitting[1])
        health = (await client.get("/health")).json()
        assert (health["status"], health["database"], health["watch"]) == ("ok", "ok", "ok")
        assert health["runninghub_last_answer"]["upstream_code"] == row.last_response
        assert (health["tasks"]["RUNNING"], health["tasks"][settled]) == (2, 1)
    sent_in_vain = board.runs_called() - 2
    assert (sent_in_vain == 0) if row.address else (1 <= sent_in_vain <= 3)

    board.set(faults={})
    waited = settled == "PENDING"
    async with serving(board.url, tmp_path) as client:
        for task_id, statuses in ((to_ask, {"SUCCESS"}), (to_cancel, {"SUCCESS", "CANCELLED"})):
            await client.post("/task/query_task_status", json={"taskId": task_id})
            assert (await ended(client, task_id))["status"] in statuses
        if waited:
            assert (await ended(client, submitted["id"]))["status"] == "SUCCESS"
        else:
            task = (await client.get(f"/tasks/{submitted['id']}")).json()
            assert (task["status"], task["error"]) == (settled, submitted["error"])
    counters = board.counters()
    assert counters["calls"]["run"] >= 2 + sent_in_vain + waited
    assert counters["runs_accepted"] == 2 + row.runs_accepted + waited


@pytest.mark.parametrize("row", [row for row in TABLE if row.fault], ids=str)
async def test_the_watch_asks_again_after_a_fault(board: Board, tmp_path: Path, row: Row) -> None:
    board.set(faults={"outputs": {**row.fault, "times": 1}})
    async with serving(board.url, tmp_path, runninghub_timeout_s=1) as client:
        task = await ended(client, await submit(client))
    assert (task["status"], task["error"]) == ("SUCCESS", None)
    assert board.faults()["outputs"]["times"] == 0


async def test_the_watch_gives_a_broken_runninghub_a_rest_and_comes_back(
    board: Board, tmp_path: Path
) -> None:
    board.set(faults={"outputs": {"kind": "http_502_html"}})
    async with serving(board.url, tmp_path) as client:
        tasks = [await submit(client) for _ in range(20)]
        await asyncio.sleep(0.7)
        asked = board.counters()["calls"]["outputs"]
        assert asked < 3 * len(tasks)
        board.set(faults={})
        assert {(await ended(client, task))["status"] for task in tasks} == {"SUCCESS"}


def reply(
    body: bytes = b"", *headers: str, first: str = "HTTP/1.1 200 OK", length: int | None = None
) -> bytes:
    """Bytes of an HTTP answer, right or wrong."""
    lines = [first, f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def envelope(data: str = "null", code: str = "0", msg: str = '"success"') -> bytes:
    return reply(f'{{"code":{code},"msg":{msg},"data":{data}}}'.encode())


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


BIG = "1" + "0" * 5000
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
    reply(gzip.compress(b" " * 300_000_000, 1), "Content-Encoding: gzip"),
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
        for number, odd in enumerate(ODD_REPLIES):
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


# The disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is left, and answer the file to delete."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


async def test_a_full_disk_refuses_a_submit_before_anything_is_paid(board: Board, small_disk: Path) -> None:
    async with serving(board.url, small_disk) as client:
        first = await submit(client)
        await ended(client, first)
        ballast = fill(small_disk)
        # The file of changes that is there already may have room for a few more.
        answers = [await client.post("/submit_task", json=SUBMISSION) for _ in range(200)]
        assert {answer_of(answer) for answer in answers} <= {
            (202, "QUEUED"),
            (202, "RUNNING"),
            (503, "database_unavailable"),
        }
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused
        assert (await client.get(f"/tasks/{first}")).json()["status"] == "SUCCESS"
        assert board.counters()["runs_accepted"] == 1 + len(answers) - len(refused)
        ballast.unlink()
        await ended(client, await submit(client))
        assert {task["status"] for task in await all_tasks(client)} == {"SUCCESS"}


async def test_what_was_paid_for_while_the_disk_was_full_is_stored_later(
    board: Board, small_disk: Path
) -> None:
    board.set(run_latency=1)
    async with serving(board.url, small_disk) as client:
        submitting = asyncio.create_task(submit(client))
        await until(board.runs_called)
        ballast = fill(small_disk)
        await asyncio.sleep(1.5)
        ballast.unlink()
        task = await ended(client, await submitting)
    assert task["status"] == "SUCCESS"
    assert board.counters()["runs_accepted"] == 1


@asynccontextmanager
async def locked(database: Path) -> AsyncIterator[None]:
    """Another program writes. The service, in this loop, has to be able to end its own transaction first."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=0)) as other:
        await until(lambda: begins(other))
        yield
        other.execute("COMMIT")


def begins(connection: sqlite3.Connection) -> bool:
    with suppress(sqlite3.OperationalError):
        connection.execute("BEGIN EXCLUSIVE")
    return connection.in_transaction


async def test_a_locked_database_is_read_and_what_is_to_be_written_waits(
    board: Board, tmp_path: Path
) -> None:
    async with serving(board.url, tmp_path) as client:
        first = await submit(client)
        async with locked(tmp_path / "tasks.db"):
            submitting = asyncio.create_task(submit(client))
            assert answer_of(await client.get(f"/tasks/{first}"))[0] == 200
            assert len((await client.get("/tasks")).json()["tasks"]) == 1
            health = await client.get("/health")
            assert (health.status_code, health.json()["database"]) == (200, "ok")
            await asyncio.sleep(1)
            assert not submitting.done()
            assert board.runs_called() == 1
        for task in (first, await submitting):
            assert (await ended(client, task))["status"] == "SUCCESS"
    assert board.counters()["runs_accepted"] == 2


@asynccontextmanager
async def impatient_services(url: str, directory: Path, **settings: Any) -> AsyncIterator[Services]:
    """The service below its routes; it waits only a moment for a locked database."""
    defaults: Json = {
        "_env_file": None,
        "runninghub_api_key": API_KEY,
        "runninghub_base_url": url,
        "database_url": f"sqlite:///{directory / 'tasks.db'}",
        "poll_interval_s": 0.05,
        "poll_interval_max_s": 0.1,
    }
    async with running(Settings(**defaults | settings), webhook_body) as services:
        await services.database.writer.execute("PRAGMA busy_timeout = 50")
        yield services


async def end_of(services: Services, task_id: str) -> TaskStatus:
    async for task in services.change_feed.follow(task_id, seen_version=None):
        status = task.status
    return status


async def test_a_database_that_stays_locked_refuses_a_submit_before_anything_is_paid(
    board: Board, tmp_path: Path
) -> None:
    async with impatient_services(board.url, tmp_path) as services:
        async with locked(tmp_path / "tasks.db"):
            with pytest.raises(DatabaseUnavailable, match="locked"):
                await services.tasks.submit(Submission([], TEXT_TO_IMAGE))
        assert board.runs_called() == 0
        assert await services.database.page(before_seq=2**62, limit=10) == []
        task, _ = await services.tasks.submit(Submission([], TEXT_TO_IMAGE))
        assert await end_of(services, task.id) is TaskStatus.SUCCESS


async def test_what_was_paid_for_while_the_database_was_locked_is_stored_later(
    board: Board, tmp_path: Path
) -> None:
    board.set(run_latency=0.5)
    async with impatient_services(board.url, tmp_path) as services:
        submitting = asyncio.create_task(services.tasks.submit(Submission([], TEXT_TO_IMAGE)))
        await until(board.runs_called)
        async with locked(tmp_path / "tasks.db"):
            await asyncio.sleep(1)
            assert not submitting.done()
        task, _ = await submitting
        assert await end_of(services, task.id) is TaskStatus.SUCCESS
    assert board.counters()["runs_accepted"] == 1


# The clock, and a worker that stands still


class Clock:
    """Milliseconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


HOUR_MS = 3_600_000
AT_ONCE: Json = {"max_pending": 100, "planner": PLANNER, "responding": RESPONDING}
MINUTE_MS = 60_000


async def running_task(database: Database, task_id: str = "a") -> None:
    await database.add_task(NewTask(task_id, [], TEXT_TO_IMAGE), **AT_ONCE)
    await database.store(task_id, Accepted(1, f"1{task_id}", True, None, database.clock()))


async def test_after_the_clock_stepped_back_looks_are_due_again(tmp_path: Path) -> None:
    clock = Clock()
    async with Database(str(tmp_path / "tasks.db"), clock=clock) as database:
        await running_task(database)
        clock.ms -= HOUR_MS
        assert await database.lease_due(lease_ms=MINUTE_MS, limit=10) == []
        await database.pull_due(longest_ms=MINUTE_MS)
        assert [task.id for task in await database.lease_due(lease_ms=MINUTE_MS, limit=10)] == ["a"]


async def test_after_the_clock_stepped_back_the_queue_goes_on(tmp_path: Path) -> None:
    clock = Clock()
    async with Database(str(tmp_path / "tasks.db"), clock=clock) as database:
        await database.add_task(NewTask("a", [], TEXT_TO_IMAGE), **AT_ONCE)
        await database.store("a", NotStarted(1), limits=refused)
        assert await database.claim_pending(PLANNER, RESPONDING) == []
        clock.ms -= HOUR_MS
        assert [task.id for task in await database.claim_pending(PLANNER, RESPONDING)] == ["a"]


def refused(account: AccountRow, limiter: LimiterRow, active: int, now_ms: int) -> Limits:
    return account, after_full(limiter, active, now_ms, now_ms)


async def test_after_the_clock_stepped_back_tasks_keep_their_order(tmp_path: Path) -> None:
    clock = Clock()
    async with Database(str(tmp_path / "tasks.db"), clock=clock) as database:
        for task_id in "abc":
            await database.add_task(NewTask(task_id, [], TEXT_TO_IMAGE), **AT_ONCE)
            clock.ms -= HOUR_MS
        page = await database.page(before_seq=2**62, limit=10)
        assert [task.id for task in page] == ["c", "b", "a"]


async def test_a_worker_that_stood_still_past_its_lease_changes_nothing_twice(tmp_path: Path) -> None:
    clock = Clock()
    async with Database(str(tmp_path / "tasks.db"), clock=clock) as database:
        await running_task(database)
        assert len(await database.lease_due(lease_ms=MINUTE_MS, limit=10)) == 1
        assert await database.lease_due(lease_ms=MINUTE_MS, limit=10) == []
        clock.ms += 2 * MINUTE_MS
        assert len(await database.lease_due(lease_ms=MINUTE_MS, limit=10)) == 1
        first = await database.store("a", Finished("1a", [{"fileUrl": "1"}], None, None, {}))
        late = await database.store("a", RunFailed("1a", None))
        task = await database.task("a")
    assert (first is not None, late) == (True, None)
    assert task is not None
    assert (task.status, task.result_data, task.error) == (TaskStatus.SUCCESS, [{"fileUrl": "1"}], None)


async def test_a_paid_call_given_up_by_another_worker_is_taken_when_its_answer_comes(tmp_path: Path) -> None:
    clock = Clock()
    async with Database(str(tmp_path / "tasks.db"), clock=clock) as database:
        await database.add_task(NewTask("a", [], TEXT_TO_IMAGE), **AT_ONCE)
        clock.ms += HOUR_MS
        async with Database(str(tmp_path / "tasks.db"), worker="other", clock=clock) as other:
            (stale,) = await other.stale_submits()
            await other.store(stale.id, OutcomeUnknown(1, {"code": "submit_interrupted"}))
        assert await database.claim_pending(PLANNER, RESPONDING) == []
        late = await database.store("a", Accepted(1, "1", True, None, 0))
    assert late is not None
    assert (late.status, late.error) == (TaskStatus.RUNNING, None)


async def test_a_blocked_event_loop_makes_looks_late_and_none_twice(board: Board, tmp_path: Path) -> None:
    board.set(run_time=0.5)
    async with serving(board.url, tmp_path) as client:
        tasks = [await submit(client) for _ in range(30)]
        for _ in range(3):
            time.sleep(0.5)  # noqa: ASYNC251 - the fault itself
            await asyncio.sleep(0.05)
        assert {(await ended(client, task))["status"] for task in tasks} == {"SUCCESS"}
        assert (await client.get("/health")).json()["watch"] == "ok"
    assert board.counters()["runs_accepted"] == len(tasks)


# The process


async def test_a_process_that_stood_still_during_a_paid_call_goes_on(board: Board, tmp_path: Path) -> None:
    board.set(run_latency=0.3)
    with start_service(board.url, tmp_path / "tasks.db", env={"POLL_INTERVAL_S": "0.1"}) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
            submitting = asyncio.create_task(submit(client))
            await until(board.runs_called)
            os.kill(service.process.pid, signal.SIGSTOP)
            await asyncio.sleep(1)
            os.kill(service.process.pid, signal.SIGCONT)
            assert (await ended(client, await submitting))["status"] == "SUCCESS"
    assert board.counters()["runs_accepted"] == 1


async def test_a_killed_process_pays_for_nothing_twice_and_fails_nothing(
    board: Board, tmp_path: Path
) -> None:
    fast = {"POLL_INTERVAL_S": "0.1"}
    with start_service(board.url, tmp_path / "tasks.db", env=fast) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
            board.set(run_time=2)
            taken = await submit(client)
            board.set(run_latency=5)
            lost = asyncio.create_task(client.post("/submit_task", json=SUBMISSION))
            await until(lambda: board.runs_called() == 2)
            service.kill()
            with pytest.raises(httpx.TransportError):
                await lost
    board.set(run_latency=0)
    with start_service(board.url, tmp_path / "tasks.db", env=fast) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
            assert (await ended(client, taken))["status"] == "SUCCESS"
            (unknown,) = (await client.get("/tasks", params={"status": "SUBMIT_UNKNOWN"})).json()["tasks"]
            assert unknown["error"]["code"] == "submit_interrupted"
            health = (await client.get("/health")).json()
            assert (health["status"], health["tasks"]["FAILED"]) == ("ok", 0)
    assert board.runs_called() == 2


# A thousand faults at random

TASKS = 200
# What became of a run that met one of these is known: it was not taken.
RUN_FAULTS = [
    {"kind": "http_429", "times": 2, "probability": 0.2},
    {"kind": "code", "code": 421, "times": 2, "probability": 0.2},
    {"kind": "close_before", "times": 3, "probability": 0.2},
]
LOOK_FAULT_KINDS: list[tuple[str, int, Json]] = [
    ("close_before", 100, {}),
    ("close_before", 100, {"reset": True}),
    ("lost_reply", 100, {}),
    ("http_500_html", 100, {}),
    ("http_502_html", 100, {}),
    ("http_504_html", 93, {}),
    ("http_429", 50, {}),
    ("http_401", 50, {}),
    ("html_200", 50, {}),
    ("invalid_json", 50, {}),
    ("empty", 50, {}),
    ("wrong_types", 50, {}),
    ("code", 50, {"code": 1005, "msg": API_KEY}),
    ("slow_bytes", 30, {"seconds": 0.001}),
    ("hang", 20, {"seconds": 0.05}),
]
# Of a list, the first that strikes happens: so each strikes one call in twenty.
LOOK_FAULTS: list[Json] = [
    {"kind": kind, "times": times, "probability": 1 / (20 - place), **details}
    for place, (kind, times, details) in enumerate(LOOK_FAULT_KINDS)
]
CANCEL_FAULTS = [{"kind": kind, "probability": 0.2} for kind in ("lost_reply", "http_502_html", "http_429")]
UPSTREAM_WORDS = {"SUCCESS": "SUCCESS", "FAILED": "FAILED", "CANCELLED": "CANCEL"}
SECRETS = (API_KEY, "Rh-Comfy-Auth", "netWssUrl", "Traceback", "traceback")


def faults_left(board: Board) -> int:
    return sum(fault["times"] for name in ("run", "outputs") for fault in board.faults()[name])


async def open_tasks(client: httpx.AsyncClient) -> list[str]:
    waiting: Json = {"status": ["PENDING", "SUBMITTING", "QUEUED", "RUNNING"], "limit": 200}
    return [task["id"] for task in (await client.get("/tasks", params=waiting)).json()["tasks"]]


async def test_a_thousand_faults_over_two_hundred_tasks_lose_and_fail_nothing(
    board: Board, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(7)
    seen = bytearray()
    cancels: set[str] = set()
    board.set(
        run_time=0.2,
        run_time_max=1,
        fail_probability=0.2,
        faults={"run": RUN_FAULTS, "outputs": LOOK_FAULTS, "cancel": CANCEL_FAULTS},
    )
    assert faults_left(board) == 1000
    async with serving(board.url, tmp_path, log_level="DEBUG", runninghub_timeout_s=5) as client:

        async def post(path: str, body: Json | None = None) -> None:
            response = await client.post(path, json=body)
            answer_of(response)
            seen.extend(response.content)

        await asyncio.gather(*(post("/submit_task", SUBMISSION) for _ in range(TASKS)))
        while (left := faults_left(board)) + len(ids := await open_tasks(client)):
            # RunningHub is asked about unknown tasks, too, so that no fault is left in the end.
            ids += [str(7_000_000_000_000_000_000 + chance.getrandbits(40)) for _ in range(min(left, 50))]
            asked = chance.sample(ids, min(len(ids), 60))
            cancels.update(asked[:3])
            await asyncio.gather(
                *(post("/task/query_task_status", {"taskId": task}) for task in asked),
                *(post(f"/tasks/{task}/cancel") for task in asked[:3]),
            )
        tasks = await all_tasks(client)
        seen.extend((await client.get("/tasks", params={"limit": 200})).content)

    at_runninghub = {
        task["runninghub_task_id"]: UPSTREAM_WORDS[task["status"]]
        for task in tasks
        if task["runninghub_task_id"]
    }
    # RunningHub confirms the cancel of a run that had failed, too; then it counts as cancelled here.
    failed_first = {
        run for run, status in board.tasks().items() if (status, at_runninghub[run]) == ("FAILED", "CANCEL")
    }
    assert failed_first <= {task["runninghub_task_id"] for task in tasks if task["id"] in cancels}
    assert at_runninghub == board.tasks() | dict.fromkeys(failed_first, "CANCEL")
    assert set(at_runninghub.values()) == set(UPSTREAM_WORDS.values())
    not_taken = [task["status"] for task in tasks if not task["runninghub_task_id"]]
    assert not_taken.count("SUBMIT_UNKNOWN") == 3
    assert set(not_taken) <= {"SUBMIT_UNKNOWN", "CANCELLED"}
    assert len(tasks) == TASKS

    seen += b"".join(file.read_bytes() for file in tmp_path.glob("tasks.db*"))
    seen += "".join(capfd.readouterr()).encode()
    assert [secret for secret in SECRETS if secret.encode() in seen] == []


# Clients


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came back over a socket; status 0: nothing."""

    status: int = 0
    content_type: str = ""
    body: bytes = b""


async def send_raw(url: str, request: bytes) -> RawAnswer:
    """Send bytes as they are, and read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
    answer = b""
    with suppress(ConnectionError):
        writer.write(request)
        await writer.drain()
        while chunk := await reader.read(65_536):
            answer += chunk
    writer.close()
    head, _, body = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    if not head:
        return RawAnswer()
    content_type = re.search(rb"(?im)^content-type: ([^\r]*)", head)
    return RawAnswer(int(head.split()[1]), content_type[1].decode() if content_type else "", body)


def raw(method: str, path: str, *headers: str, body: bytes = b"", json_body: bool = True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    lines += ["Content-Type: application/json"] if json_body else []
    lines += [f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


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


# Settings

WRONG_SETTINGS: dict[str, tuple[str, ...]] = {
    "RUNNINGHUB_API_KEY": ("with space", "\u00e9", "k" * 501),
    "RUNNINGHUB_BASE_URL": (
        "",
        "www.runninghub.cn",
        "ftp://h",
        "http://",
        "http://h:0",
        "http://h:x",
        "http://a@b",
    ),
    "RUNNINGHUB_ACCOUNTS": (
        "{}",
        "[]",
        "[",
        '[{"name": "a"}]',
        '[{"name": "a", "api_key": "k", "apikey": "k"}]',
    ),
    "RUNNINGHUB_TIMEOUT_S": ("", "0", "-1", "nan", "inf", "soon", "1e9"),
    "DATABASE_URL": (
        "",
        "tasks.db",
        "sqlite:///",
        "sqlite://tasks.db",
        "postgres://u:p@h/d",
        "postgresql://h",
    ),
    "SECRET_KEY": ("short", "k" * 501),
    "ACCESS_TOKENS": ("t" * 501, ",", '"quoted-token-of-some-length"'),
    "JWT_SECRET": ("j" * 31,),
    "JWT_JWKS_URL": ("jwks.json", "ftp://login.example/jwks.json"),
    "JWT_ISSUER": ("i" * 501,),
    "JWT_AUDIENCE": ("a" * 501,),
    "JWT_USER_CLAIM": ("", "c" * 101),
    **dict.fromkeys(
        ("USER_MAX_ACTIVE_TASKS", "USER_MAX_PENDING_TASKS", "USER_TASKS_PER_DAY", "USER_COINS_PER_MONTH"),
        ("", "-1", "1.5", "few"),
    ),
    "ALLOWED_HOSTS": (",", "http://tasks.example", "tasks.example/", "*.example", "a b"),
    "CORS_ORIGINS": ("*", "null", "https://shop.example/path", "shop.example"),
    "MAX_UPLOAD_MB": ("", "0", "-1", "1.5", "10001", "many"),
    "MAX_CONCURRENT_TASKS": ("", "-1", "1.5", "100001"),
    "MAX_PENDING_TASKS": ("", "-1", "many", "10000001"),
    "POLL_INTERVAL_S": ("", "0", "-1", "nan", "inf", "often", "16"),
    "POLL_INTERVAL_MAX_S": ("", "0", "-1", "nan", "86401"),
    "OUTPUTS_URL": ("", "outputs", "file:", "s3://", "ftp://host/path"),
    "OUTPUTS_KEEP_DAYS": ("", "-1", "nan", "for ever"),
    "OUTPUTS_MAX_FILE_MB": ("", "0", "nan"),
    "OUTPUTS_MIN_FREE_MB": ("", "-1", "nan"),
    "OUTPUTS_LINK_TTL_S": ("", "0", "nan", "inf"),
    "AWS_ACCESS_KEY_ID": ("a" * 501,),
    "AWS_SECRET_ACCESS_KEY": ("s" * 4001,),
    "AWS_SESSION_TOKEN": ("t" * 4001,),
    "AWS_REGION": ("r" * 501,),
    "AWS_ENDPOINT_URL": ("cos.example", "ftp://cos.example"),
    "TASKS_KEEP_DAYS": ("", "-1", "nan"),
    "WEBHOOK_URL": (
        "shop.example",
        "ftp://shop.example",
        "https://u:p@shop.example",
        "https://shop.example?a b",
    ),
    "WEBHOOK_SECRET": (",", "whsec_", "whsec_c2hvcnQ=", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
    "WEBHOOK_ALLOW_PRIVATE": ("", "maybe"),
    "NODE_INFO_TTL_S": ("", "-1", "nan", "inf"),
    "PUBLIC_URL": ("tasks.example", "ftp://tasks.example", "https://tasks.example?a=b", "https://a b"),
    "RATE_LIMIT_PER_MINUTE": ("", "-1", "1.5", "1000001"),
    "LOG_LEVEL": ("", "loud", "TRACE"),
    "LOG_FORMAT": ("", "xml", "JSON"),
}


def test_the_wrong_settings_name_every_setting() -> None:
    assert WRONG_SETTINGS.keys() == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG_SETTINGS.items() for value in values]
)
def test_a_wrong_setting_ends_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        load_settings()
    assert end.value.code == STARTUP_FAILURE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name} is wrong: ")
