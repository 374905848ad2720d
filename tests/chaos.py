"""`make chaos`: `kill -9` while clients and a person use the service; then the damage in sums.

Clients submit, repeat keys and cancel. A person settles unknown tasks, resubmits them, also by mistake, and
cancels runs that do not end. RunningHub sends its signed webhooks, some of them for an earlier attempt. Of
two accounts one works; the other has no balance, a refused key, an outage or lost replies in turn.
Every sum has to be zero, else it ends with 1.
"""

import argparse
import json
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.http_client import client_of, http_client
from tests.processes import free_port, start_service, start_simulator

Json = dict[str, Any]

ROUNDS = 25
CLIENTS = 12
SLOTS = 20
WEBAPP_ID = "1992755951447109633"
LIVES_S = (0.2, 1.5)
# On a busy machine a life is longer: until so many were accepted in it.
TASKS_PER_LIFE = 7
LONGEST_LIFE_S = 30
PAUSE_S = (0.05, 0.4)
PERSON_PAUSE_S = 0.2
# Longer than RunningHub takes for a paid call: whoever looks a task up earlier may not find it yet.
LOOKED_UP_AFTER_S = 2
# A run that is older does not end by itself.
ENDLESS_AFTER_S = 3
DEADLINE_S = 6
FINISH_WITHIN_S = 300
RUN_TIMES: Json = {"run_time": 0.2, "run_time_max": 0.8}
ENDLESS: Json = {"run_time": 3600, "run_time_max": 3600}
SIMULATOR: Json = {
    "slots": SLOTS,
    "queue_time": 0.05,
    "run_latency": 0.03,
    "fail_probability": 0.1,
    "webhook_delay": 0.2,
    "webhook_repeats": 1,
    **RUN_TIMES,
}
SETTINGS = {
    "POLL_INTERVAL_S": "0.1",
    "POLL_INTERVAL_MAX_S": "0.5",
    "LOG_LEVEL": "WARNING",
    "OUTPUTS_URL": "none",
}
ROWS = "SELECT id, status, runninghub_task_id, node_info, error FROM tasks"
KEYS = {"steady": "a" * 32, "faulty": "b" * 32}
# What the second account meets in turn, while the first works.
FAULTS: list[Json] = [
    {"coins": 0, "faults": {}},
    {"coins": 100_000, "faults": {"*": {"kind": "code", "code": 806}}},
    {"coins": 100_000, "faults": {"*": {"kind": "http", "status": 504}}},
    {"coins": 100_000, "faults": {"*": {"kind": "close_before", "reset": True}}},
    {"coins": 100_000, "faults": {"paid": {"kind": "lost_reply", "probability": 0.5}}},
    {"coins": 100_000, "faults": {"paid": {"kind": "code", "code": 802, "probability": 0.3}}},
    {"coins": 100_000, "faults": {"cancel": {"kind": "http", "status": 502}}},
    {"coins": 100_000, "faults": {}},
]
FAULT_S = 0.9
ENDLESS_S = 0.05
ENDS: dict[str, set[str]] = {"SUCCESS": {"SUCCESS"}, "FAILED": {"FAILED"}, "CANCEL": {"CANCELLED"}}


@dataclass(slots=True)
class Record:
    """What clients and the person did, and which answers they got that should not be."""

    task_ids: set[str] = field(default_factory=set)
    keys_repeated: int = 0
    cancels_sent: set[str] = field(default_factory=set)
    cancels_answered: set[str] = field(default_factory=set)
    settled: int = 0
    wrong_ids_refused: int = 0
    resubmitted: int = 0
    resubmitted_by_mistake: Counter[str] = field(default_factory=Counter)
    webhooks_posted: int = 0
    faults: list[str] = field(default_factory=list)

    def note_fault(self, response: httpx.Response, allowed: set[int]) -> None:
        """A 503 is allowed everywhere: the service may be starting, or the database locked."""
        if response.status_code not in {*allowed, 503}:
            self.faults.append(f"{response.request.url.path}: {response.status_code} {response.text}")


@dataclass(frozen=True, slots=True)
class TaskRow:
    """What the database says of a task at the end."""

    id: str
    status: str
    runninghub_task_id: str | None
    prompt: str
    error_code: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left at the end: the service's rows and the runs that RunningHub started, by its id."""

    record: Record
    rows: list[TaskRow]
    runs: dict[str, Json]
    webhooks_sent: int

    def sums(self) -> dict[str, int]:
        """All of them have to be 0."""
        return {
            "accepted tasks missing": len(self.record.task_ids - {row.id for row in self.rows}),
            "two tasks for one key": len(self.rows) - len({row.prompt for row in self.rows}),
            "tasks paid for twice": _more_than(1, self._runs_by_prompt(), self._mistakes),
            "runs that no row stands for": _more_than(0, self._strays_by_prompt(), self._mistakes),
            "tasks that have not ended": sum(row.status not in ENDS_HERE for row in self.rows),
            "cancelled or ended here, but running there": sum(
                run["status"] not in ENDS for run in self.runs.values()
            ),
            "wrong final statuses": sum(not self._is_right(row) for row in self.rows),
            "answers that should not be": len(self.record.faults),
        }

    def figures(self) -> dict[str, int]:
        """What happened, to judge whether the run was hard enough."""
        record, statuses = self.record, Counter(row.status for row in self.rows)
        return {
            "rows": len(self.rows),
            "tasks accepted": len(record.task_ids),
            "keys repeated": record.keys_repeated,
            "paid calls that started a run": len(self.runs),
            "webhooks sent by RunningHub": self.webhooks_sent,
            "webhooks for an earlier attempt, or before a resubmit": record.webhooks_posted,
            "cancels answered": len(record.cancels_answered),
            "settled with an id": record.settled,
            "settles with a wrong id, refused": record.wrong_ids_refused,
            "resubmitted": record.resubmitted,
            "resubmitted by mistake": self._mistakes.total(),
            "of these, paid for twice": sum(
                len(runs) > 1 and bool(self._mistakes[prompt])
                for prompt, runs in self._runs_by_prompt().items()
            ),
            **{f"rows {status}": count for status, count in sorted(statuses.items())},
        }

    @property
    def _mistakes(self) -> Counter[str]:
        return self.record.resubmitted_by_mistake

    def _runs_by_prompt(self) -> dict[str, list[str]]:
        runs: defaultdict[str, list[str]] = defaultdict(list)
        for run_id, run in self.runs.items():
            runs[_prompt(run["nodeInfoList"])].append(run_id)
        return runs

    def _strays_by_prompt(self) -> dict[str, list[str]]:
        known = {row.runninghub_task_id for row in self.rows}
        return {
            prompt: [run_id for run_id in runs if run_id not in known]
            for prompt, runs in self._runs_by_prompt().items()
        }

    def _is_right(self, row: TaskRow) -> bool:
        """Whether a task ended as RunningHub says, or without a run for a reason."""
        is_cancelled = row.id in self.record.cancels_sent or row.error_code == "deadline"
        if run := self.runs.get(row.runninghub_task_id or ""):
            # RunningHub confirms the cancel of a run that had failed, too.
            had_failed = row.status == "CANCELLED" and is_cancelled and run["status"] == "FAILED"
            return row.status in ENDS.get(run["status"], set()) or had_failed
        if row.runninghub_task_id:
            return False
        may_end = {
            "CANCELLED": is_cancelled,
            "FAILED": row.error_code == "runninghub_rejected",  # its key was refused five times
        }
        return may_end.get(row.status, False)


ENDS_HERE = set[str]().union(*ENDS.values())


def _more_than(allowed: int, runs: dict[str, list[str]], mistakes: Counter[str]) -> int:
    return sum(max(0, len(ids) - allowed - mistakes[prompt]) for prompt, ids in runs.items())


def run_chaos(rounds: int, directory: Path, seed: int, workers: int = 1) -> Outcome:
    """Kill and restart the service so many times under load, then let it finish its tasks."""
    chance, port, database = random.Random(seed), free_port(), directory / "tasks.db"
    url, record = f"http://127.0.0.1:{port}", Record()
    with start_simulator(seed=seed, **SIMULATOR) as simulator:
        env = settings(simulator.url, url)
        with load([url], simulator.url, record, seed) as person:
            for _ in range(rounds):
                with start_service(simulator.url, database, env=env, port=port, workers=workers) as service:
                    _wait_for_end(record, chance)
                    service.kill()
        with start_service(simulator.url, database, env=env, port=port, workers=workers):
            person.finish()
        return outcome(record, _stored(database), simulator.url)


def settings(simulator_url: str, public_url: str) -> dict[str, str]:
    accounts = [{"name": name, "api_key": key, "base_url": simulator_url} for name, key in KEYS.items()]
    return {**SETTINGS, "RUNNINGHUB_ACCOUNTS": json.dumps(accounts), "PUBLIC_URL": public_url}


@contextmanager
def load(urls: Sequence[str], simulator_url: str, record: Record, seed: int) -> Iterator["Person"]:
    """Clients, a person, and faults of an account, until the block ends. `urls`: of the instances."""
    stop = threading.Event()
    person = Person(urls, simulator_url, record, random.Random(seed))
    with ThreadPoolExecutor(CLIENTS + 2) as threads:
        working = [
            threads.submit(_break_until, stop, simulator_url, random.Random(seed)),
            threads.submit(person.work_until, stop),
            *(threads.submit(Client(urls, n, record).work_until, stop) for n in range(CLIENTS)),
        ]
        try:
            yield person
        finally:
            stop.set()
        for work in working:
            work.result()  # raises what ended it early


def outcome(record: Record, rows: Iterable[Sequence[Any]], simulator_url: str) -> Outcome:
    """`rows` as ROWS gives them."""
    with client_of(simulator_url, timeout=60) as simulator:  # thousands of runs, on a busy machine
        runs = {run["taskId"]: run for run in simulator.get("/simulator/tasks").json()}
        counters = simulator.get("/simulator/counters").json()
    return Outcome(record, [_row(*row) for row in rows], runs, counters["webhooks_sent"])


class AnyInstance(httpx.BaseTransport):
    """Sends each request to any of several instances, without checking that it is up."""

    def __init__(self, urls: Sequence[str], chance: random.Random) -> None:
        self._urls = [httpx.URL(url) for url in urls]
        self._chance = chance
        self._transport = httpx.HTTPTransport(verify=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(port=self._chance.choice(self._urls).port)
        return self._transport.handle_request(request)

    def close(self) -> None:
        self._transport.close()


def _client(urls: Sequence[str], chance: random.Random, timeout: float) -> httpx.Client:
    return httpx.Client(base_url=urls[0], transport=AnyInstance(urls, chance), timeout=timeout)


def _wait_for_end(record: Record, chance: random.Random) -> None:
    """Until a life has lasted its time, and something was done in it."""
    at_start, deadline = len(record.task_ids), time.monotonic() + LONGEST_LIFE_S
    time.sleep(chance.uniform(*LIVES_S))
    while len(record.task_ids) < at_start + TASKS_PER_LIFE and time.monotonic() < deadline:
        time.sleep(0.01)


def _break_until(stop: threading.Event, simulator_url: str, chance: random.Random) -> None:
    """Let the second account meet one fault after the other, and end with none.

    Some runs never end, and of some no webhook comes.
    """
    with client_of(simulator_url, timeout=15) as client:
        while True:
            for fault in FAULTS:
                webhook = chance.choice(["on", "off"])
                switches = {"accounts": {KEYS["faulty"]: fault}, "webhook": webhook, **RUN_TIMES}
                client.patch("/simulator/switches", json=switches).raise_for_status()
                if stop.wait(FAULT_S):
                    if fault is FAULTS[-1]:
                        return
                    continue
                client.patch("/simulator/switches", json=ENDLESS).raise_for_status()
                stop.wait(ENDLESS_S)


class Client:
    """Submits, and now and then repeats a key or cancels: a new prompt each time, so that two runs show."""

    def __init__(self, urls: Sequence[str], number: int, record: Record) -> None:
        self._urls = urls
        self._number = number
        self._record = record
        self._chance = random.Random(number)
        self._submitted: list[tuple[Json, str | None]] = []

    def work_until(self, stop: threading.Event) -> None:
        with _client(self._urls, self._chance, timeout=15) as http:
            while not stop.wait(self._chance.uniform(*PAUSE_S)):
                try:
                    self._work(http)
                except httpx.HTTPError:
                    continue  # killed, or not up yet: nobody was promised anything

    def _work(self, http: httpx.Client) -> None:
        if self._submitted and self._chance.random() < 0.25:
            self._repeat(http)
            return
        prompt = f"client {self._number} task {len(self._submitted)}"
        node = {"nodeId": "15", "fieldName": "text", "fieldValue": prompt}
        body: Json = {"webappId": WEBAPP_ID, "nodeInfoList": [node]}
        if self._chance.random() < 0.1:
            body["deadline_s"] = DEADLINE_S
        self._submitted.append((body, None))
        task_id = self._submit(http, body)
        self._submitted[-1] = (body, task_id)
        if task_id and self._chance.random() < 0.2:
            cancel(http, task_id, task_id, self._record)

    def _repeat(self, http: httpx.Client) -> None:
        place = self._chance.randrange(len(self._submitted))
        body, first_id = self._submitted[place]
        again_id = self._submit(http, body)
        self._record.keys_repeated += 1
        if first_id and again_id and again_id != first_id:
            self._record.faults.append(f"two tasks for one key: {first_id} and {again_id}")
        self._submitted[place] = (body, first_id or again_id)

    def _submit(self, http: httpx.Client, body: Json) -> str | None:
        key = {"Idempotency-Key": _prompt(body["nodeInfoList"])}
        response = http.post("/submit_task", json=body, headers=key)
        self._record.note_fault(response, {202, 504})
        task_id: str | None = response.json().get("task_id")
        if task_id:
            self._record.task_ids.add(task_id)
        return task_id


def cancel(http: httpx.Client, ref: str, task_id: str, record: Record) -> None:
    record.cancels_sent.add(task_id)
    response = http.post(f"/tasks/{ref}/cancel")
    if response.status_code == 200:
        record.cancels_answered.add(task_id)
    record.note_fault(response, {200, 409})


class Person:
    """Looks at RunningHub's console and at the service's list, and does what is to be done by hand."""

    def __init__(
        self, urls: Sequence[str], simulator_url: str, record: Record, chance: random.Random
    ) -> None:
        self._urls = urls
        self._simulator_url = simulator_url
        self._record = record
        self._chance = chance
        self._late_webhooks: list[Json] = []

    def work_until(self, stop: threading.Event) -> None:
        with _client(self._urls, self._chance, timeout=15) as http:
            while not stop.wait(PERSON_PAUSE_S):
                try:
                    self._work(http)
                except httpx.HTTPError:
                    continue

    def finish(self) -> None:
        """Go on until everything has ended."""
        deadline = time.monotonic() + FINISH_WITHIN_S
        with _client(self._urls, self._chance, timeout=30) as http:
            while time.monotonic() < deadline:
                try:
                    if self._has_ended(http):
                        return
                    self._work(http)
                except httpx.HTTPError:
                    continue  # a busy machine; what does not end shows in the sums
                time.sleep(PERSON_PAUSE_S)

    @staticmethod
    def _has_ended(http: httpx.Client) -> bool:
        health = http.get("/health")
        counts = health.json().get("tasks", {})
        return health.is_success and not any(counts[status] for status in counts if status not in ENDS_HERE)

    def _work(self, http: httpx.Client) -> None:
        console = http_client.get(f"{self._simulator_url}/simulator/tasks", timeout=30).json()
        for run in self._late_webhooks:
            self._post_webhook(http, run)
        self._late_webhooks.clear()
        for run in console:
            if run["status"] == "RUNNING" and time.time() - run["started_at"] > ENDLESS_AFTER_S:
                self._cancel_run(http, run)
        runs = {_prompt(run["nodeInfoList"]): run for run in console}
        page = http.get("/tasks", params={"status": "SUBMIT_UNKNOWN", "limit": 200}).json()
        for task in page.get("tasks", []):
            if _age_s(task) > LOOKED_UP_AFTER_S:
                self._resolve(http, task, runs.get(_prompt(task["node_info"])), console)

    def _cancel_run(self, http: httpx.Client, run: Json) -> None:
        """By RunningHub's id; a run that no row has yet is found in a later round."""
        response = http.get(f"/tasks/{run['taskId']}")
        if response.status_code == 200:
            cancel(http, run["taskId"], response.json()["id"], self._record)

    def _resolve(self, http: httpx.Client, task: Json, run: Json | None, console: list[Json]) -> None:
        if run is None:
            self._resubmit(http, task)
            return
        choice = self._chance.random()
        if choice < 0.2:
            self._name_another_tasks_run(http, task, run, console)
        if choice < 0.4 or run["status"] not in ENDS:
            self._settle(http, task, run)
        elif choice < 0.7:
            # RunningHub's webhook comes first: the task must not be paid for again.
            if self._post_webhook(http, run):
                self._resubmit(http, task)
        else:
            self._record.resubmitted_by_mistake[_prompt(task["node_info"])] += 1
            self._late_webhooks.append(run)
            self._resubmit(http, task)

    def _settle(self, http: httpx.Client, task: Json, run: Json) -> None:
        response = http.post(f"/tasks/{task['id']}/settle", json={"runninghub_task_id": run["taskId"]})
        self._record.settled += response.status_code == 200
        self._record.note_fault(response, {200, 409, 502, 504})

    def _name_another_tasks_run(self, http: httpx.Client, task: Json, run: Json, console: list[Json]) -> None:
        other = self._chance.choice(console)
        if other["key_ends_with"] == run["key_ends_with"] and other["taskId"] != run["taskId"]:
            owner = http.get(f"/tasks/{other['taskId']}")
            if owner.status_code == 200:
                response = http.post(
                    f"/tasks/{task['id']}/settle", json={"runninghub_task_id": other["taskId"]}
                )
                self._record.wrong_ids_refused += response.status_code == 409
                self._record.note_fault(response, {409})

    def _resubmit(self, http: httpx.Client, task: Json) -> None:
        response = http.post(f"/tasks/{task['id']}/settle", json={"resubmit": True})
        self._record.resubmitted += response.status_code == 200
        self._record.note_fault(response, {200, 409, 502, 504})

    def _post_webhook(self, http: httpx.Client, run: Json) -> bool:
        """As RunningHub sends it, to the address that came with the run; whether it was accepted."""
        body = {"event": "TASK_END", "taskId": run["taskId"], "eventData": "{}"}
        response = http.post(run["webhookUrl"], json=body)
        self._record.webhooks_posted += response.is_success
        self._record.note_fault(response, {200, 202, 204})
        return response.is_success


def _age_s(task: Json) -> float:
    return time.time() - datetime.fromisoformat(task["updated_at"]).timestamp()


def _stored(database: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(ROWS).fetchall()


def _row(task_id: str, status: str, run_id: str | None, node_info: str, error: str | None) -> TaskRow:
    code = json.loads(error)["code"] if error else None
    return TaskRow(task_id, status, run_id, _prompt(json.loads(node_info)), code)


def _prompt(node_info: list[dict[str, str]]) -> str:
    return node_info[0]["fieldValue"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    options = parser.parse_args()
    print(
        f"{options.rounds} rounds, {options.workers} workers, {CLIENTS} clients, seed {options.seed}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as directory:
        return report(run_chaos(options.rounds, Path(directory), options.seed, options.workers))


def report(outcome: Outcome) -> int:
    """Print the sums; the exit code."""
    for name, count in [*outcome.figures().items(), *outcome.sums().items()]:
        print(f"{count:6}  {name}")
    for fault in outcome.record.faults[:10]:
        print(fault)
    return 1 if any(outcome.sums().values()) else 0


if __name__ == "__main__":
    sys.exit(main())
