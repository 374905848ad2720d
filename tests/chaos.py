"""`make chaos`: `kill -9` while clients submit, cancel and repeat keys; then the damage in sums.

Two accounts: one works, the other has no balance, a refused key or an outage in turn. Every sum has to be
zero, else it ends with 1: nothing accepted is lost, nothing paid for twice, nothing cancelled keeps running.
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
KEYS = {"steady": "a" * 32, "faulty": "b" * 32}
# What the second account meets in turn, while the first works.
FAULTS: list[dict[str, Any]] = [
    {"coins": 0, "faults": {}},
    {"coins": 100_000, "faults": {"*": {"kind": "code", "code": 806}}},
    {"coins": 100_000, "faults": {"*": {"kind": "http", "status": 504}}},
    {"coins": 100_000, "faults": {"paid": {"kind": "code", "code": 802, "probability": 0.5}}},
    {"coins": 100_000, "faults": {}},
]
FAULT_S = 0.9


@dataclass(slots=True)
class Answers:
    """What the clients were told: the id of each task that an answer named."""

    task_ids: set[str] = field(default_factory=set)
    cancelled_ids: set[str] = field(default_factory=set)
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
        ended = {"SUCCESS", "CANCELLED", "SUBMIT_UNKNOWN", "SUBMITTING"}
        at_runninghub = {task["taskId"]: task["status"] for task in self.started}
        final = {runninghub_id: status for _, status, runninghub_id, _ in self.rows if runninghub_id}
        return {
            "answered tasks missing": len(self.answers.task_ids - ids),
            "paid calls made twice": sum(count - 1 for count in paid.values()),
            "tasks at RunningHub that no row stands for": sum(
                task["taskId"] not in known and _prompt(task["nodeInfoList"]) not in unknown
                for task in self.started
            ),
            "rows still SUBMITTING": statuses["SUBMITTING"],
            "rows not at their end": sum(count for status, count in statuses.items() if status not in ended),
            "cancelled tasks that still run": sum(
                at_runninghub.get(row[2]) in {"QUEUED", "RUNNING"}
                for row in self.rows
                if row[0] in self.answers.cancelled_ids and row[2]
            ),
            "wrong final statuses": sum(
                {status, at_runninghub[runninghub_id]} == {"SUCCESS", "CANCELLED"}
                for runninghub_id, status in final.items()
                if runninghub_id in at_runninghub
            ),
            "answers that should not be": len(self.answers.faults),
        }

    def figures(self) -> dict[str, int]:
        """What happened, to judge whether the run was hard enough."""
        return {
            "tasks answered": len(self.answers.task_ids),
            "rows": len(self.rows),
            "paid calls": len(self.started),
            "tasks cancelled": len(self.answers.cancelled_ids),
            "rows SUBMIT_UNKNOWN": sum(row[1] == "SUBMIT_UNKNOWN" for row in self.rows),
        }


def run_chaos(rounds: int, directory: Path, seed: int, workers: int = 1) -> Outcome:
    """Kill and restart the service so many times under load, then let it finish its tasks."""
    chance, port, database = random.Random(seed), free_port(), directory / "tasks.db"
    answers, stop = Answers(), threading.Event()
    with start_simulator(seed=seed, **SIMULATOR) as simulator, ThreadPoolExecutor(CLIENTS + 1) as clients:
        accounts = [{"name": n, "api_key": key, "base_url": simulator.url} for n, key in KEYS.items()]
        env = {**SETTINGS, "RUNNINGHUB_ACCOUNTS": json.dumps(accounts), "OUTPUTS_URL": "none"}
        clients.submit(_break_until, stop, simulator.url)
        for number in range(CLIENTS):
            clients.submit(_submit_until, stop, f"http://127.0.0.1:{port}", number, answers)
        try:
            for _ in range(rounds):
                with start_service(simulator.url, database, env=env, port=port, workers=workers) as service:
                    time.sleep(chance.uniform(*LIVES_S))
                    service.kill()
        finally:
            stop.set()
        with start_service(simulator.url, database, env=env, port=port, workers=workers) as service:
            _wait_until_finished(service.url)
        started = httpx.get(f"{simulator.url}/simulator/tasks").json()
    return Outcome(answers, _rows(database), started)


def _break_until(stop: threading.Event, simulator_url: str) -> None:
    """Let the second account meet one fault after the other, and end with none."""
    with httpx.Client(base_url=simulator_url, timeout=15) as client:
        while True:
            for fault in FAULTS:
                client.patch("/simulator/switches", json={"accounts": {KEYS["faulty"]: fault}})
                if stop.wait(FAULT_S) and fault is FAULTS[-1]:
                    return


def _submit_until(stop: threading.Event, url: str, number: int, answers: Answers) -> None:
    """One client: a new prompt each time, so that a paid call made twice shows."""
    chance, count = random.Random(number), 0
    with httpx.Client(base_url=url, timeout=15, verify=False) as client:  # noqa: S501 it is http
        while not stop.is_set():
            count += 1
            _submit(client, f"client {number} task {count}", answers)
            stop.wait(chance.uniform(*PAUSE_S))


def _submit(client: httpx.Client, prompt: str, answers: Answers) -> None:
    """Submit with a key; now and then submit the same again, or cancel."""
    node = {"nodeId": "15", "fieldName": "text", "fieldValue": prompt}
    body = {"webappId": WEBAPP_ID, "nodeInfoList": [node]}
    try:
        response = client.post("/submit_task", json=body, headers={"Idempotency-Key": prompt})
        task_id = response.json().get("task_id")
        if task_id:
            answers.task_ids.add(task_id)
        if response.status_code not in {202, 503, 504}:
            answers.faults.append(response.text)
        if random.random() < 0.2:
            again = client.post("/submit_task", json=body, headers={"Idempotency-Key": prompt})
            if task_id and again.status_code == 202 and again.json()["task_id"] != task_id:
                answers.faults.append(f"two tasks for one key: {again.text}")
        if task_id and random.random() < 0.2:
            cancelled = client.post(f"/tasks/{task_id}/cancel")
            if cancelled.status_code == 200:
                answers.cancelled_ids.add(task_id)
            elif cancelled.status_code not in {409, 503}:
                answers.faults.append(cancelled.text)
    except httpx.HTTPError:
        return  # killed, or not up yet: nobody was promised anything


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
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    options = parser.parse_args()
    print(f"{options.rounds} rounds, {CLIENTS} clients, {SLOTS} slots, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        outcome = run_chaos(options.rounds, Path(directory), options.seed, options.workers)
    for name, count in [*outcome.figures().items(), *outcome.sums().items()]:
        print(f"{count:6}  {name}")
    for fault in outcome.answers.faults[:10]:
        print(fault)
    return 1 if any(outcome.sums().values()) else 0


if __name__ == "__main__":
    sys.exit(main())
