"""The service while its database file is damaged, lost, locked or full: it says so, and pays for nothing."""

import resource
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from tests.http_client import client_of, http_client
from tests.processes import STOP_TIMEOUT_S, Running, start_service, start_simulator

pytestmark = pytest.mark.processes

PAGE = 4096
SUBMISSION = {
    "webappId": TEXT_TO_IMAGE,
    "nodeInfoList": [{"nodeId": "15", "fieldName": "text", "fieldValue": "a cat" * 100}],
}
TASKS = 60
WATCHED_S = 3.0
LOG_LIMIT = 4_000  # bytes; the first release logged 176 kB in 20 s
UNAVAILABLE = (503, "database_unavailable")


@dataclass(frozen=True, slots=True)
class Site:
    simulator: httpx.Client
    service: Running
    http: httpx.Client
    database: Path

    def submit(self) -> httpx.Response:
        return self.http.post("/submit_task", json=SUBMISSION)

    def runs_called(self) -> int:
        return int(self.simulator.get("/simulator/counters").json()["calls"].get("run", 0))

    def switch(self, **switches: Any) -> None:
        self.simulator.patch("/simulator/switches", json=switches).raise_for_status()

    def health(self) -> tuple[int, dict[str, Any]]:
        response = self.http.get("/health")
        return response.status_code, response.json()


@pytest.fixture(scope="module")
def simulator() -> Iterator[httpx.Client]:
    """One process for all tests; `idle` resets it before each."""
    with (
        start_simulator(run_time=0.05, queue_time=0, run_latency=0) as simulator,
        client_of(simulator.url) as board,
    ):
        yield board


@pytest.fixture
def idle(simulator: httpx.Client, tmp_path: Path) -> Iterator[Site]:
    """A service without a task."""
    database = tmp_path / "data" / "tasks.db"
    database.parent.mkdir()
    settings = {"POLL_INTERVAL_S": "0.1", "LOG_LEVEL": "WARNING"}
    simulator.post("/simulator/reset").raise_for_status()
    with (
        start_service(str(simulator.base_url), database, env=settings) as service,
        client_of(service.url, timeout=30) as http,
    ):
        yield Site(simulator, service, http, database)


@pytest.fixture
def site(idle: Site) -> Site:
    """A service with tasks that have run, and some that wait because no more may run."""
    for _ in range(TASKS):
        assert idle.submit().status_code == 202
    while idle.health()[1]["tasks"]["SUCCESS"] < TASKS:
        time.sleep(0.05)
    idle.switch(slots=1, run_time=600)
    for _ in range(5):
        assert idle.submit().status_code == 202
    return idle


def problem(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json().get("code", "")


def logged_since(site: Site, position: int) -> str:
    return site.service.log.read_bytes()[position:].decode()


def damage(site: Site) -> None:
    """Overwrite pages in the middle, on disk and in the log, as a failing disk would."""
    for suffix in ("", "-wal"):
        path = Path(f"{site.database}{suffix}")
        with path.open("r+b") as pages:
            pages.seek(path.stat().st_size // PAGE // 3 * PAGE)
            pages.write(b"\xee" * (path.stat().st_size // PAGE // 3 * PAGE))


def delete(site: Site) -> None:
    site.database.unlink()


def replace(site: Site) -> None:
    shutil.copy(site.database, f"{site.database}.copy")
    Path(f"{site.database}.copy").rename(site.database)


def delete_wal(site: Site) -> None:
    Path(f"{site.database}-wal").unlink()


def delete_folder(site: Site) -> None:
    folder = site.database.parent
    while folder.exists():  # the service may be writing an output into it
        shutil.rmtree(folder, ignore_errors=True)


def stops_in_time(service: Running) -> bool:
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(timeout=STOP_TIMEOUT_S)
    return True


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (delete, "its file was deleted or replaced"),
        (replace, "its file was deleted or replaced"),
        (delete_wal, "its -wal file was deleted or replaced"),
        (delete_folder, "its file was deleted or replaced"),
    ],
)
def test_with_a_lost_file_nothing_is_accepted_or_paid_for_and_readiness_ends(
    site: Site, fault: Any, reason: str
) -> None:
    runs, logged = site.runs_called(), site.service.log.stat().st_size
    fault(site)
    assert problem(site.submit()) == UNAVAILABLE
    status, health = site.health()
    assert (status, health["database"]) == (503, "unavailable")
    assert reason in health["reason"]
    site.switch(slots=0)
    watch(site)
    assert site.runs_called() == runs
    assert len(logged_since(site, logged)) < LOG_LIMIT, logged_since(site, logged)
    assert stops_in_time(site.service)


def test_with_a_damaged_file_paid_calls_stop_and_readiness_ends(site: Site) -> None:
    logged = site.service.log.stat().st_size
    damage(site)
    while site.health()[0] != 503:  # a list of tasks may still come from pages that are in memory
        site.http.get("/tasks", params={"limit": 200})
        site.submit()
    runs = site.runs_called()
    assert problem(site.submit()) == UNAVAILABLE
    status, health = site.health()
    assert (status, health["database"]) == (503, "unavailable")
    assert "its file is damaged" in health["reason"]
    site.switch(slots=0)
    watch(site)
    assert site.runs_called() == runs
    assert len(logged_since(site, logged)) < LOG_LIMIT, logged_since(site, logged)
    assert stops_in_time(site.service)


def watch(site: Site) -> None:
    """Requests go on, and the loops too, for a while."""
    deadline = time.monotonic() + WATCHED_S
    while time.monotonic() < deadline:
        assert problem(site.submit()) == UNAVAILABLE
        assert site.health()[0] == 503
        site.http.get("/tasks", params={"limit": 200})


@contextmanager
def locked(database: Path) -> Iterator[None]:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_with_a_locked_file_a_submit_is_refused_reads_go_on_and_later_all_is_well(site: Site) -> None:
    runs, logged = site.runs_called(), site.service.log.stat().st_size
    with locked(site.database):
        assert problem(site.submit()) == UNAVAILABLE
        assert site.health()[0] == 200
        assert site.http.get("/tasks").status_code == 200
        assert site.runs_called() == runs
    assert site.submit().status_code == 202
    assert len(logged_since(site, logged)) < LOG_LIMIT, logged_since(site, logged)


def test_the_service_stops_in_time_while_the_file_is_locked(site: Site) -> None:
    with locked(site.database):
        assert stops_in_time(site.service)


def test_the_service_stops_in_time_while_the_file_is_locked_and_a_paid_call_hangs(idle: Site) -> None:
    idle.switch(faults={"run": {"kind": "hang"}})
    task = idle.submit().json()
    assert task["status"] == "SUBMITTING"
    with locked(idle.database):
        assert stops_in_time(idle.service)
    assert "a paid call's outcome is not stored yet" in logged_since(idle, 0)
    assert task["task_id"] in logged_since(idle, 0)
    with start_service(str(idle.simulator.base_url), idle.database) as again:
        found = http_client.get(f"{again.url}/tasks/{task['task_id']}").json()
    assert found["status"] == "SUBMIT_UNKNOWN"


def test_with_a_full_disk_a_submit_is_refused_and_once_there_is_room_all_is_well(site: Site) -> None:
    runs, logged = site.runs_called(), site.service.log.stat().st_size
    pid = site.service.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    # A row needs more pages than this; what is logged does not.
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (2 * PAGE, before[1]))
    refused = [problem(site.submit()) for _ in range(20)]
    assert refused == [UNAVAILABLE] * 20
    assert site.http.get("/tasks").status_code == 200
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    assert site.runs_called() == runs
    assert site.submit().status_code == 202
    assert len(logged_since(site, logged)) < LOG_LIMIT, logged_since(site, logged)
