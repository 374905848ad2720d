"""What RunningHub and the network can do wrong, and what each route responds."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.calls import (
    REJECTED,
    TIMED_OUT,
    UNAVAILABLE,
    WAITS,
    Answer,
    Board,
    Json,
    all_tasks,
    ended,
    every_route,
    submit,
)
from tests.in_process import serving
from tests.processes import API_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


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
async def test_the_poller_polls_again_after_a_fault(board: Board, tmp_path: Path, row: Row) -> None:
    board.set(faults={"outputs": {**row.fault, "times": 1}})
    async with serving(board.url, tmp_path, runninghub_timeout_s=1) as client:
        task = await ended(client, await submit(client))
    assert (task["status"], task["error"]) == ("SUCCESS", None)
    assert board.faults()["outputs"]["times"] == 0


async def test_the_poller_pauses_for_a_broken_runninghub_and_resumes(board: Board, tmp_path: Path) -> None:
    board.set(faults={"outputs": {"kind": "http_502_html"}})
    async with serving(board.url, tmp_path) as client:
        tasks = [await submit(client) for _ in range(20)]
        await asyncio.sleep(0.7)
        asked = board.counters()["calls"]["outputs"]
        assert asked < 3 * len(tasks)
        board.set(faults={})
        assert {(await ended(client, task))["status"] for task in tasks} == {"SUCCESS"}
