"""Live progress over a real server: `GET /tasks/{task_id}/events` and `?wait=`."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http_client import client_of, http_client
from tests.processes import Running, start_service, start_simulator

pytestmark = pytest.mark.processes

TEXT_TO_IMAGE = "1992755951447109633"
FAST = {"POLL_INTERVAL_S": "0.1", "POLL_INTERVAL_MAX_S": "0.2", "MAX_CONCURRENT_TASKS": "1"}
TOKEN = "a-long-random-word"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    name: str
    data: Json


@pytest.fixture(scope="module")
def simulator() -> Iterator[Running]:
    with start_simulator(slots=0, queue_time=0, run_time=600) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live") / "tasks.db"


@pytest.fixture(scope="module")
def service(simulator: Running, database: Path) -> Iterator[Running]:
    with start_service(simulator.url, database, env=FAST | {"ACCESS_TOKENS": TOKEN}) as service:
        yield service


@pytest.fixture
def client(service: Running) -> Iterator[httpx.Client]:
    with client_of(service.url, headers=BEARER, timeout=30) as client:
        yield client


def set_run_time(simulator: Running, run_time: float) -> None:
    http_client.patch(f"{simulator.url}/simulator/switches", json={"run_time": run_time}).raise_for_status()


def submit(client: httpx.Client, text: str = "a cat") -> str:
    node = {"nodeId": "15", "fieldName": "text", "fieldValue": text}
    response = client.post("/submit_task", json={"webappId": TEXT_TO_IMAGE, "nodeInfoList": [node]})
    task_id: str = response.raise_for_status().json()["task_id"]
    return task_id


def cancel(client: httpx.Client, task_id: str) -> Json:
    task: Json = client.post(f"/tasks/{task_id}/cancel").raise_for_status().json()
    return task


def events(response: httpx.Response) -> Iterator[Event]:
    """The stream's events as they come; comments are skipped."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif fields.keys() >= {"id", "event", "data"}:
            yield Event(fields["id"], fields["event"], json.loads(fields["data"]))
            fields = {}


def test_a_stream_tells_the_task_at_once_and_every_change_and_ends_after_the_last(
    client: httpx.Client, simulator: Running
) -> None:
    set_run_time(simulator, 0.5)
    task_id = submit(client)
    with client.stream("GET", f"/tasks/{task_id}/events") as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        told = list(events(response))
    assert {event.name for event in told} == {"task"}
    assert [event.data["status"] for event in told] == ["RUNNING", "SUCCESS"]
    assert [int(event.id) for event in told] == sorted({int(event.id) for event in told})
    final = client.get(f"/tasks/{task_id}").json()
    assert told[-1].data == {**final, "expected_seconds": told[-1].data["expected_seconds"]}


def test_a_stream_of_a_finished_task_has_one_event(client: httpx.Client, simulator: Running) -> None:
    set_run_time(simulator, 600)
    task_id = submit(client)
    task = cancel(client, task_id)
    with client.stream("GET", f"/tasks/{task_id}/events") as response:
        (event,) = events(response)
    assert event.data == task


def test_last_event_id_leaves_out_what_was_seen(client: httpx.Client, simulator: Running) -> None:
    set_run_time(simulator, 600)
    task_id = submit(client)
    with client.stream("GET", f"/tasks/{task_id}/events") as response:
        first = next(events(response))
    with (
        ThreadPoolExecutor(1) as pool,
        client.stream("GET", f"/tasks/{task_id}/events", headers={"Last-Event-ID": first.id}) as response,
    ):
        pool.submit(cancel, client, task_id)
        told = list(events(response))
    assert [event.data["status"] for event in told] == ["CANCELLED"]
    assert int(told[0].id) > int(first.id)


def test_a_waiting_task_sees_how_it_moves_up(client: httpx.Client, simulator: Running) -> None:
    set_run_time(simulator, 600)
    running, second, third = (submit(client, str(number)) for number in range(3))
    with client.stream("GET", f"/tasks/{third}/events") as response:
        told = events(response)
        assert next(told).data["queue_position"] == 2
        cancel(client, second)
        assert next(told).data["queue_position"] == 1
        cancel(client, running)
        after = next(event for event in told if event.data["status"] == "RUNNING")
        assert after.data["queue_position"] is None
    cancel(client, third)


def test_a_stream_of_an_unknown_task_is_a_problem(client: httpx.Client) -> None:
    response = client.get("/tasks/no-such-task/events")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "task_not_found"


def test_a_stream_needs_the_token_and_takes_none_from_the_address(
    client: httpx.Client, service: Running
) -> None:
    task_id = submit(client)
    for query in ("", f"?token={TOKEN}", f"?access_token={TOKEN}"):
        response = http_client.get(f"{service.url}/tasks/{task_id}/events{query}")
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    cancel(client, task_id)


def test_a_change_by_another_worker_is_seen_within_a_second(
    client: httpx.Client, simulator: Running, database: Path
) -> None:
    set_run_time(simulator, 600)
    task_id = submit(client)
    with (
        start_service(simulator.url, database, env=FAST) as other,
        client.stream("GET", f"/tasks/{task_id}/events") as response,
    ):
        told = events(response)
        assert next(told).data["status"] == "RUNNING"
        http_client.post(f"{other.url}/tasks/{task_id}/cancel").raise_for_status()
        cancelled = time.monotonic()
        assert next(told).data["status"] == "CANCELLED"
        assert time.monotonic() - cancelled < 2  # one, and one for a slow machine


def test_many_streams_and_waits_all_see_the_end_without_more_polls(
    client: httpx.Client, service: Running, simulator: Running
) -> None:
    set_run_time(simulator, 1)
    task_id = submit(client)

    def last_status(number: int) -> str:
        if number % 2:
            return str(
                http_client.get(f"{service.url}/tasks/{task_id}?wait=30", headers=BEARER, timeout=40).json()[
                    "status"
                ]
            )
        with http_client.stream(
            "GET", f"{service.url}/tasks/{task_id}/events", headers=BEARER, timeout=40
        ) as response:
            return str([event.data["status"] for event in events(response)][-1])

    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(last_status, range(40))) == {"SUCCESS"}
    runninghub_id = client.get(f"/tasks/{task_id}").json()["runninghub_task_id"]
    tasks = http_client.get(f"{simulator.url}/simulator/tasks").json()
    (asked,) = [task["polls"] for task in tasks if task["taskId"] == runninghub_id]
    assert asked < 40


def test_clients_that_go_away_leave_the_service_well(client: httpx.Client, simulator: Running) -> None:
    set_run_time(simulator, 600)
    task_id = submit(client)
    for _ in range(20):
        with client.stream("GET", f"/tasks/{task_id}/events") as response:
            next(events(response))
    assert client.get("/health").json()["status"] == "ok"
    assert cancel(client, task_id)["status"] == "CANCELLED"


def test_a_wait_answers_within_its_time(client: httpx.Client, simulator: Running) -> None:
    set_run_time(simulator, 600)
    task_id = submit(client)
    began = time.monotonic()
    assert client.get(f"/tasks/{task_id}", params={"wait": 0.3}).json()["status"] == "RUNNING"
    assert 0.3 <= time.monotonic() - began < 10
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, f"/tasks/{task_id}", params={"wait": 30})
        cancel(client, task_id)
        assert waiting.result().json()["status"] == "CANCELLED"
    assert re.fullmatch(r"[0-9a-f]{32}", task_id)
