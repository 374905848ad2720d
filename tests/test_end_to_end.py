"""Real processes and real faults: what the service promises when it, RunningHub or the disk breaks."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos import run_chaos
from tests.http_client import client_of, http_client
from tests.processes import (
    API_KEY,
    ROOT,
    Running,
    clean_environment,
    free_port,
    start_module,
    start_service,
    start_simulator,
)

pytestmark = pytest.mark.processes

TEXT_TO_IMAGE = "1992755951447109633"
FAST = {"POLL_INTERVAL_S": "0.1", "POLL_INTERVAL_MAX_S": "0.2", "LOG_LEVEL": "WARNING"}
WITHIN_S = 45
OPEN = ("PENDING", "SUBMITTING", "QUEUED", "RUNNING")

Json = dict[str, Any]


# Sets the simulator's switches; all others are as at its start.
Simulate = Callable[..., Running]


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Running]:
    """One process for all tests: starting one takes as long as many of them."""
    with start_simulator() as simulator:
        yield simulator


@pytest.fixture
def simulate(shared_simulator: Running) -> Simulate:
    def reset_and_set(**switches: Any) -> Running:
        with http(shared_simulator.url) as client:
            client.post("/simulator/reset").raise_for_status()
        set_switches(shared_simulator, **switches)
        return shared_simulator

    return reset_and_set


@contextmanager
def http(url: str) -> Iterator[httpx.Client]:
    with client_of(url, timeout=30) as client:
        yield client


def submit(url: str, text: str) -> httpx.Response:
    node = {"nodeId": "15", "fieldName": "text", "fieldValue": text}
    with http(url) as client:
        return client.post("/submit_task", json={"webappId": TEXT_TO_IMAGE, "nodeInfoList": [node]})


def get(url: str, path: str) -> Any:
    with http(url) as client:
        return client.get(path).raise_for_status().json()


def set_switches(simulator: Running, **switches: Any) -> None:
    with http(simulator.url) as client:
        client.patch("/simulator/switches", json=switches).raise_for_status()


def eventually(is_so: Callable[[], Any], within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.03)


def counts(url: str) -> dict[str, int]:
    found: dict[str, int] = get(url, "/health")["tasks"]
    return {status: count for status, count in found.items() if count}


def wait_until_finished(url: str) -> None:
    eventually(lambda: not counts(url).keys() & set(OPEN))


def prompts_started(simulator: Running) -> list[str]:
    tasks = get(simulator.url, "/simulator/tasks")
    return [task["nodeInfoList"][0]["fieldValue"] for task in tasks]


def statuses(database: Path) -> list[str]:
    connection = sqlite3.connect(database)
    found = connection.execute("SELECT status FROM tasks ORDER BY seq").fetchall()
    connection.close()
    return [status for (status,) in found]


@contextmanager
def submitting(url: str, text: str) -> Iterator["Future[httpx.Response]"]:
    """A submit whose paid call is under way while the block runs."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(submit, url, text)
        eventually(lambda: "SUBMITTING" in counts(url))
        yield answer


def test_50_submits_on_3_slots_all_run_in_their_order_over_a_kill_in_the_middle(
    simulate: Simulate, tmp_path: Path
) -> None:
    port, slots = free_port(), 3
    simulator = simulate(slots=slots, queue_time=0, run_time=0.15)
    with start_service(simulator.url, tmp_path / "t.db", env=FAST, port=port) as service:
        responses = [submit(service.url, f"{number:02}") for number in range(50)]
        assert {response.status_code for response in responses} == {202}
        service.kill()
    with start_service(simulator.url, tmp_path / "t.db", env=FAST, port=port) as service:
        wait_until_finished(service.url)
        left = counts(service.url)
        tasks = [get(service.url, f"/tasks/{r.json()['task_id']}") for r in responses]
    started, counters = prompts_started(simulator), get(simulator.url, "/simulator/counters")
    assert counters["max_active"] <= slots
    assert len(set(started)) == len(started)
    # Calls for slots that are free at the same time are made at the same time: any of those may arrive first.
    in_order = sorted(started)
    assert all(abs(in_order.index(prompt) - at) < slots for at, prompt in enumerate(started))
    # The one call that was under way at the kill is not known; all others are done.
    assert left.get("SUBMIT_UNKNOWN", 0) <= 1
    assert left.pop("SUCCESS") + left.pop("SUBMIT_UNKNOWN", 0) == 50
    assert left == {}
    for number, task in enumerate(tasks):
        assert task["status"] == "SUBMIT_UNKNOWN" or f"{number:02}" in started


def test_two_workers_submit_each_task_once(simulate: Simulate, tmp_path: Path) -> None:
    simulator = simulate(slots=5, queue_time=0.02, run_time=0.1)
    with start_service(simulator.url, tmp_path / "t.db", env=FAST, workers=2) as service:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: submit(service.url, f"{n:02}"), range(40)))
        assert {answer.status_code for answer in answers} == {202}
        wait_until_finished(service.url)
        assert counts(service.url) == {"SUCCESS": 40}
        assert sorted(prompts_started(simulator)) == [f"{number:02}" for number in range(40)]
        assert get(simulator.url, "/simulator/counters")["max_active"] <= 5


def accepts_connections(url: str) -> bool:
    try:
        http_client.get(f"{url}/health")
    except httpx.HTTPError as exc:
        return not isinstance(exc, httpx.ConnectError)
    return True


def test_workers_stop_when_only_their_parent_is_killed(simulate: Simulate, tmp_path: Path) -> None:
    with start_service(simulate().url, tmp_path / "t.db", env=FAST, workers=2) as service:
        service.process.kill()
        eventually(lambda: not accepts_connections(service.url))


def test_while_runninghub_is_broken_nothing_fails_and_after_it_all_finish(
    simulate: Simulate, tmp_path: Path
) -> None:
    simulator = simulate(slots=3, queue_time=0, run_time=0.3)
    with start_service(simulator.url, tmp_path / "t.db", env=FAST) as service:
        for number in range(6):
            assert submit(service.url, str(number)).status_code == 202
        broken = [
            {"kind": kind, "probability": 0.5} for kind in ("http_500_html", "html_200", "invalid_json")
        ]
        broken[-1]["probability"] = 1
        set_switches(
            simulator,
            faults={"outputs": broken, "apiCallDemo": broken, "run": {"kind": "code", "code": 421}},
        )
        asked = get(simulator.url, "/simulator/counters")["calls"].get("outputs", 0)
        eventually(lambda: get(simulator.url, "/simulator/counters")["calls"].get("outputs", 0) > asked + 5)
        during = counts(service.url)
        assert set(during) <= {"PENDING", "RUNNING", "SUCCESS", "SUBMITTING"}
        set_switches(simulator, faults={})
        wait_until_finished(service.url)
        assert counts(service.url) == {"SUCCESS": 6}
        assert sorted(prompts_started(simulator)) == [str(number) for number in range(6)]


def test_sigterm_while_tasks_run_takes_less_than_5_seconds(simulate: Simulate, tmp_path: Path) -> None:
    simulator = simulate(slots=0, queue_time=0, run_time=600)
    with start_service(simulator.url, tmp_path / "t.db", env=FAST) as service:
        ids = [submit(service.url, str(number)).json()["task_id"] for number in range(5)]
        with ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(get, service.url, f"/tasks/{ids[0]}?wait=60")
            stream = pool.submit(read_events, f"{service.url}/tasks/{ids[0]}/events")
            time.sleep(0.1)
            began = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(timeout=15) in {0, -signal.SIGTERM}
            assert time.monotonic() - began < 5
            assert waiting.result()["status"] == "RUNNING"
            assert "retry: 1000" in stream.result()
    assert statuses(tmp_path / "t.db") == ["RUNNING"] * 5


def read_events(url: str) -> str:
    with http(url) as client:
        return client.get(url, timeout=60).text


def test_sigterm_during_a_paid_call_stores_its_outcome(simulate: Simulate, tmp_path: Path) -> None:
    simulator = simulate(queue_time=0, run_time=600, run_latency=1.5)
    with (
        start_service(simulator.url, tmp_path / "t.db", env=FAST) as service,
        submitting(service.url, "paid") as answer,
    ):
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(timeout=15)
        assert answer.result().status_code == 202
    assert statuses(tmp_path / "t.db") == ["RUNNING"]
    assert prompts_started(simulator) == ["paid"]


def test_sigterm_during_a_paid_call_that_hangs_leaves_nothing_submitting(
    simulate: Simulate, tmp_path: Path
) -> None:
    simulator = simulate()
    set_switches(simulator, faults={"run": {"kind": "hang"}})
    with (
        start_service(simulator.url, tmp_path / "t.db", env={**FAST, "RUNNINGHUB_TIMEOUT_S": "3"}) as service,
        submitting(service.url, "paid"),
    ):
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(timeout=15)
    assert statuses(tmp_path / "t.db") == ["SUBMIT_UNKNOWN"]


def test_a_kill_during_the_paid_call_is_unknown_and_settled_by_runninghubs_id(
    simulate: Simulate, tmp_path: Path
) -> None:
    simulator = simulate(queue_time=0, run_time=0.1, run_latency=600)
    with start_service(simulator.url, tmp_path / "t.db", env=FAST) as service:
        with submitting(service.url, "paid") as answer:
            eventually(lambda: prompts_started(simulator) == ["paid"])
            service.kill()
        assert isinstance(answer.exception(), httpx.HTTPError)
    with start_service(simulator.url, tmp_path / "t.db", env=FAST) as service:
        (task,) = get(service.url, "/tasks")["tasks"]
        assert task["status"] == "SUBMIT_UNKNOWN"
        assert task["error"]["code"] == "submit_interrupted"
        (running,) = get(simulator.url, "/simulator/tasks")
        with http(service.url) as client:
            body = {"runninghub_task_id": running["taskId"]}
            assert client.post(f"/tasks/{task['id']}/settle", json=body).status_code == 200
        wait_until_finished(service.url)
        assert counts(service.url) == {"SUCCESS": 1}
        assert get(simulator.url, "/simulator/counters")["calls"]["run"] == 1


def test_webhooks_end_tasks_long_before_the_next_poll(simulate: Simulate, tmp_path: Path) -> None:
    port = free_port()
    env = {
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "POLL_INTERVAL_S": "600",
        "POLL_INTERVAL_MAX_S": "600",
    }
    simulator = simulate(queue_time=0, run_time=0.2, webhook_repeats=2, slots=2)
    with start_service(simulator.url, tmp_path / "t.db", env=env, port=port) as service:
        for number in range(5):
            assert submit(service.url, str(number)).status_code == 202
        set_switches(simulator, webhook="early", faults={"run": {"kind": "lost_reply", "times": 1}})
        wait_until_finished(service.url)
        eventually(lambda: counts(service.url) == {"SUCCESS": 5})
        assert sorted(prompts_started(simulator)) == [str(number) for number in range(5)]


def test_64_submits_at_once_are_all_taken(simulate: Simulate, tmp_path: Path) -> None:
    simulator = simulate(slots=0, queue_time=0, run_time=0.05)
    with start_service(simulator.url, tmp_path / "t.db", env=FAST) as service:
        with ThreadPoolExecutor(64) as pool:
            answers = list(pool.map(lambda n: submit(service.url, f"{n:02}"), range(64)))
        assert {answer.status_code for answer in answers} == {202}
        wait_until_finished(service.url)
        assert counts(service.url) == {"SUCCESS": 64}
        assert sorted(prompts_started(simulator)) == [f"{number:02}" for number in range(64)]


def test_a_locked_database_is_a_problem_and_costs_nothing(simulate: Simulate, tmp_path: Path) -> None:
    simulator = simulate(queue_time=0, run_time=0.1)
    with start_service(simulator.url, tmp_path / "t.db", env=FAST) as service:
        locked = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
        locked.execute("BEGIN IMMEDIATE")
        response = submit(service.url, "locked")
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["code"] == "database_unavailable"
        assert response.headers["retry-after"] == "5"
        assert prompts_started(simulator) == []
        locked.execute("ROLLBACK")
        locked.close()
        assert submit(service.url, "free").status_code == 202
        wait_until_finished(service.url)
        assert prompts_started(simulator) == ["free"]
        assert counts(service.url) == {"SUCCESS": 1}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))


def test_a_full_disk_is_a_problem_and_nothing_is_paid_without_a_row(
    simulate: Simulate, tmp_path: Path, small_disk: Path
) -> None:
    simulator = simulate(slots=0, queue_time=0, run_time=0.1)
    with start_service(simulator.url, small_disk / "t.db", env=FAST) as service:
        first = submit(service.url, "first")
        wait_until_finished(service.url)
        filler = small_disk / "filler"
        fill_up(filler)
        answers = [submit(service.url, f"full {number} " + "x" * 20_000) for number in range(20)]
        refused = [answer for answer in answers if answer.status_code != 202]
        assert refused
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        filler.unlink()
        assert submit(service.url, "last").status_code == 202
        wait_until_finished(service.url)
        known = {task["runninghub_task_id"] for task in get(service.url, "/tasks?limit=200")["tasks"]}
        assert {task["taskId"] for task in get(simulator.url, "/simulator/tasks")} == known
        assert get(service.url, f"/tasks/{first.json()['task_id']}")["status"] == "SUCCESS"


def refused_start(tmp_path: Path, **env: str) -> tuple[int, str]:
    """The exit code and all that was printed by a service that does not start."""
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path / 't.db'}", "LOG_LEVEL": "WARNING", **env}
    program = ["uvicorn", "main:app", "--app-dir", str(ROOT), "--port", str(free_port())]
    log = tmp_path / "log"
    log.touch()
    process = start_module(program, clean_environment() | settings, tmp_path, log)
    try:
        return process.wait(timeout=60), log.read_text()
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("name", "value"),
    [("POLL_INTERVAL_S", "soon"), ("DATABASE_URL", "postgres://u:s3cret@db/tasks"), ("PUBLIC_URL", "x y")],
)
def test_a_wrong_setting_ends_the_start_with_one_line(tmp_path: Path, name: str, value: str) -> None:
    code, printed = refused_start(tmp_path, RUNNINGHUB_API_KEY=API_KEY, **{name: value})
    assert code != 0
    assert printed.count("\n") == 1
    assert printed.startswith(f"{name} is wrong: ")
    assert "Traceback" not in printed
    assert "s3cret" not in printed


def newer_file(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.execute("CREATE TABLE tasks (a)")
    connection.commit()
    connection.close()


def damaged_file(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + os.urandom(8000))


def no_database(path: Path) -> None:
    path.write_bytes(b"These are my holiday notes.\n" * 300)


@pytest.mark.parametrize("make", [newer_file, damaged_file, no_database])
def test_a_file_that_cannot_be_used_is_refused_in_one_line_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "t.db")
    before = (tmp_path / "t.db").read_bytes()
    code, printed = refused_start(tmp_path)
    assert code != 0
    assert "Traceback" not in printed
    told = [line for line in printed.splitlines() if "DATABASE_URL" in line]
    assert len(told) == 1
    assert "left as it is" in told[0]
    assert (tmp_path / "t.db").read_bytes() == before


def test_a_directory_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    code, printed = refused_start(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/none/t.db")
    assert code != 0
    assert "Traceback" not in printed
    assert len([line for line in printed.splitlines() if "DATABASE_URL" in line]) == 1


def test_three_rounds_of_chaos_lose_nothing_and_pay_nothing_twice(tmp_path: Path) -> None:
    outcome = run_chaos(3, tmp_path, seed=7)
    assert outcome.figures()["tasks accepted"] > 20
    assert outcome.figures()["webhooks sent by RunningHub"] > 20
    assert set(outcome.sums().values()) == {0}, json.dumps(outcome.sums())


def json_lines(log: Path) -> list[dict[str, Any]]:
    """What a service has logged; a line that is just being written does not count."""
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def test_the_request_id_of_an_answer_is_in_the_log(simulate: Simulate, tmp_path: Path) -> None:
    env = {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO"}
    simulator = simulate(queue_time=0, run_time=0.1)
    with start_service(simulator.url, tmp_path / "t.db", env=env) as service:
        response = submit(service.url, "a cat")
        request_id = response.headers["x-request-id"]

        def access() -> list[tuple[str, int]]:
            """Of this request: written after its response, other lines with its id before."""
            return [
                (line["path"], line["status"])
                for line in json_lines(service.log)
                if line["logger"] == "access" and line["request_id"] == request_id
            ]

        eventually(access)
        assert access() == [("/submit_task", 202)]
        lines = json_lines(service.log)
    handed = [line for line in lines if line.get("task_id") == response.json()["task_id"]]
    assert handed
    assert all(re.fullmatch(r"\d{4}-.*Z", line["time"]) for line in lines)
