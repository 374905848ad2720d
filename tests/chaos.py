"""`make chaos`: `kill -9` at random moments while clients submit and tasks run; then the sums of the damage.

Every sum has to be zero, else it ends with 1: nothing answered is lost, nothing is paid for twice.
"""

import argparse
import json
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.processes import free_port, start_service, start_simulator

ROUNDS = 25
CLIENTS = 12
SLOTS = 20
WEBAPP_ID = "1992755951447109633"
LIVES_S = (0.2, 1.5)
PAUSE_S = (0.05, 0.4)
FINISH_WITHIN_S = 180
SIMULATOR: dict[str, Any] = {
    "slots": SLOTS,
    "queue_time": 0.05,
    "run_time": 0.2,
    "run_time_max": 0.8,
    "run_latency": 0.03,
}
SETTINGS = {"POLL_INTERVAL_S": "0.1", "POLL_INTERVAL_MAX_S": "0.5", "LOG_LEVEL": "WARNING"}


@dataclass(slots=True)
class Answers:
    """What the clients were told: the id of each task that an answer named."""

    task_ids: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left at the end: the service's rows and the tasks that RunningHub started."""

    answers: Answers
    rows: list[tuple[str, str, str | None, str]]
    started: list[dict[str, Any]]

    def sums(self) -> dict[str, int]:
        """All of them have to be 0."""
        ids = {row[0] for row in self.rows}
        statuses = Counter(status for _, status, _, _ in self.rows)
        known = {runninghub_id for _, _, runninghub_id, _ in self.rows if runninghub_id}
        unknown = {prompt for _, status, _, prompt in self.rows if status == "SUBMIT_UNKNOWN"}
        paid = Counter(_prompt(task["nodeInfoList"]) for task in self.started)
        ended = {"SUCCESS", "SUBMIT_UNKNOWN", "SUBMITTING"}
        return {
            "answered tasks missing": len(self.answers.task_ids - ids),
            "paid calls made twice": sum(count - 1 for count in paid.values()),
            "tasks at RunningHub that no row stands for": sum(
                task["taskId"] not in known and _prompt(task["nodeInfoList"]) not in unknown
                for task in self.started
            ),
            "rows still SUBMITTING": statuses["SUBMITTING"],
            "rows not at their end": sum(count for status, count in statuses.items() if status not in ended),
            "answers that should not be": len(self.answers.faults),
        }

    def figures(self) -> dict[str, int]:
        """What happened, to judge whether the run was hard enough."""
        return {
            "tasks answered": len(self.answers.task_ids),
            "rows": len(self.rows),
            "paid calls": len(self.started),
            "rows SUBMIT_UNKNOWN": sum(row[1] == "SUBMIT_UNKNOWN" for row in self.rows),
        }


def run_chaos(rounds: int, directory: Path, seed: int) -> Outcome:
    """Kill and restart the service so many times under load, then let it finish its tasks."""
    chance, port, database = random.Random(seed), free_port(), directory / "tasks.db"
    answers, stop = Answers(), threading.Event()
    with start_simulator(seed=seed, **SIMULATOR) as simulator, ThreadPoolExecutor(CLIENTS) as clients:
        for number in range(CLIENTS):
            clients.submit(_submit_until, stop, f"http://127.0.0.1:{port}", number, answers)
        try:
            for _ in range(rounds):
                with start_service(simulator.url, database, env=SETTINGS, port=port) as service:
                    time.sleep(chance.uniform(*LIVES_S))
                    service.kill()
        finally:
            stop.set()
        with start_service(simulator.url, database, env=SETTINGS, port=port) as service:
            _wait_until_finished(service.url)
        started = httpx.get(f"{simulator.url}/simulator/tasks").json()
    return Outcome(answers, _rows(database), started)


def _submit_until(stop: threading.Event, url: str, number: int, answers: Answers) -> None:
    """One client: a new prompt each time, so that a paid call made twice shows."""
    chance, count = random.Random(number), 0
    with httpx.Client(base_url=url, timeout=15, verify=False) as client:  # noqa: S501 it is http
        while not stop.is_set():
            count += 1
            _submit(client, f"client {number} task {count}", answers)
            stop.wait(chance.uniform(*PAUSE_S))


def _submit(client: httpx.Client, prompt: str, answers: Answers) -> None:
    node = {"nodeId": "15", "fieldName": "text", "fieldValue": prompt}
    try:
        response = client.post("/submit_task", json={"webappId": WEBAPP_ID, "nodeInfoList": [node]})
    except httpx.HTTPError:
        return  # killed, or not up yet: nobody was promised anything
    task_id = response.json().get("task_id")
    if task_id:
        answers.task_ids.add(task_id)
    if response.status_code != 202:
        answers.faults.append(response.text)


def _wait_until_finished(url: str) -> None:
    deadline = time.monotonic() + FINISH_WITHIN_S
    while time.monotonic() < deadline:
        counts = httpx.get(f"{url}/health", timeout=30).json()["tasks"]
        if not any(counts[status] for status in ("PENDING", "SUBMITTING", "QUEUED", "RUNNING")):
            return
        time.sleep(0.1)


def _rows(database: Path) -> list[tuple[str, str, str | None, str]]:
    connection = sqlite3.connect(database)
    rows = connection.execute("SELECT id, status, runninghub_task_id, node_info FROM tasks").fetchall()
    connection.close()
    return [(*row[:3], _prompt(json.loads(row[3]))) for row in rows]


def _prompt(node_info: list[dict[str, str]]) -> str:
    return node_info[0]["fieldValue"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    options = parser.parse_args()
    print(f"{options.rounds} rounds, {CLIENTS} clients, {SLOTS} slots, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        outcome = run_chaos(options.rounds, Path(directory), options.seed)
    for name, count in [*outcome.figures().items(), *outcome.sums().items()]:
        print(f"{count:6}  {name}")
    for fault in outcome.answers.faults[:10]:
        print(fault)
    return 1 if any(outcome.sums().values()) else 0


if __name__ == "__main__":
    sys.exit(main())
