"""Tasks, slots and counters. A status is derived from the clock, so that a waiting task needs no timer."""

import heapq
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator.apps import App
from simulator.payments import Payment, charge, refund
from simulator.switches import Switches

MAX_TASKS = 100_000
"""Past it the oldest task is forgotten, so that a long benchmark does not fill the memory."""


@dataclass(frozen=True, slots=True)
class Run:
    """A request to start an app, checked and ready to be accepted."""

    app: App
    api_key: str
    body: bytes
    """The request's body as it came, so that a task stays small."""
    base_url: str
    files_url: str
    webhook_url: str | None = None
    instance_type: str = "default"


@dataclass(slots=True)
class Task:
    """One accepted run. Times are the monotonic clock's; `started_at` is the wall clock's."""

    id: str
    run: Run
    client_id: str
    started_at: float
    started: float
    runs_from: float
    ends: float
    fails: bool
    fail_reason: str
    payment: Payment
    cancelled: bool = False
    holds_slot: bool = True
    polls: int = 0

    @property
    def app(self) -> App:
        """The app that runs."""
        return self.run.app

    @property
    def request(self) -> dict[str, Any]:
        """The run's body as an object."""
        request: dict[str, Any] = json.loads(self.run.body or b"{}")
        return request

    @property
    def ended_at(self) -> float:
        """The wall clock's time at which the task ends or ended."""
        return self.started_at + self.ends - self.started

    @property
    def seconds(self) -> int:
        """The run time that is charged for, in whole seconds."""
        return max(1, round(self.ends - self.runs_from))

    def status(self, now: float) -> str:
        """QUEUED, RUNNING, SUCCESS, FAILED or CANCEL at the time `now`."""
        if self.cancelled:
            return "CANCEL"
        if now < self.runs_from:
            return "QUEUED"
        if now < self.ends:
            return "RUNNING"
        return "FAILED" if self.fails else "SUCCESS"


@dataclass(slots=True)
class Seen:
    """The last request of an endpoint, for tests that check what was sent."""

    members: dict[str, Any]
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class State:
    """What one simulator remembers; `clock` counts seconds."""

    def __init__(
        self,
        switches: Switches,
        keys: frozenset[str],
        seed: int,
        clock: Callable[[], float],
    ) -> None:
        self.keys = keys
        self.clock = clock
        self._initial = switches
        self._seed = seed
        # Ids grow over restarts too, so that a client's database never contains one twice.
        self._next_id = 1_990_000_000_000_000_000 + time.time_ns() // 1000
        self.reset()

    def reset(self) -> None:
        """Forget tasks and counters; switches go back to the start's."""
        self.switches = self._initial.model_copy(deep=True)
        self.random = random.Random(self._seed)
        self.tasks: dict[str, Task] = {}
        self.calls: Counter[str] = Counter()
        self.last_requests: dict[str, Seen] = {}
        self.runs_accepted = self.runs_refused = self.max_active = self.webhooks_sent = 0
        self.max_active_of: Counter[str] = Counter()
        self._active: Counter[str] = Counter()
        self._endings: list[tuple[float, str]] = []

    def active(self, api_key: str | None = None) -> int:
        """How many tasks are queued or running now, of one key or of all."""
        now = self.clock()
        while self._endings and self._endings[0][0] <= now:
            task = self.tasks.get(heapq.heappop(self._endings)[1])
            if task:
                self._release_slot(task)
        return self._active.total() if api_key is None else self._active[api_key]

    def running(self, api_key: str) -> int:
        """How many tasks of a key are running now; the others that are active are queued."""
        now, all_active = self.clock(), self.active(api_key)
        active = (self.tasks.get(task_id) for _, task_id in self._endings)
        queued = sum(
            1
            for task in active
            if task and task.holds_slot and task.run.api_key == api_key and now < task.runs_from
        )
        return all_active - queued

    def is_full(self, api_key: str) -> bool:
        """Whether a key has as many tasks as it may have."""
        return 0 < self.switches.slots_of(api_key) <= self.active(api_key)

    def next_run_time(self) -> float:
        """How long the next task runs."""
        shortest, longest = self.switches.run_time, self.switches.run_time_max
        return shortest if longest is None else self.random.uniform(shortest, max(shortest, longest))

    def start(self, run: Run, payment: Payment, run_time: float) -> Task:
        """Accept a run, charge its account, and return its task."""
        switches, now = self.switches, self.clock()
        early = bool(run.webhook_url) and switches.webhook == "early"
        runs_from = now if early else now + switches.queue_time
        self._next_id += 1
        task = Task(
            id=str(self._next_id),
            run=run,
            client_id=f"{self.random.getrandbits(128):032x}",
            started_at=time.time(),
            started=now,
            runs_from=runs_from,
            ends=now if early else runs_from + run_time,
            fails=self._next_fails() or run.app.failing_node is not None,
            fail_reason=switches.fail_reason,
            payment=payment,
        )
        charge(switches.account(run.api_key), payment)
        self._add(task)
        return task

    def _add(self, task: Task) -> None:
        api_key = task.run.api_key
        self.tasks[task.id] = task
        self._active[api_key] += 1
        heapq.heappush(self._endings, (task.ends, task.id))
        self.runs_accepted += 1
        self.max_active = max(self.max_active, self.active())
        self.max_active_of[api_key] = max(self.max_active_of[api_key], self.active(api_key))
        if len(self.tasks) > MAX_TASKS:
            self._release_slot(self.tasks.pop(next(iter(self.tasks))))

    def status_when_started(self, task: Task) -> str:
        """The status that the response to a run reports: a task that has ended by then was running."""
        return "RUNNING" if task.runs_from <= self.clock() else "QUEUED"

    def find(self, task_id: str) -> Task | None:
        """The task, or None when it is not known or is to be forgotten."""
        return None if self.switches.forget_tasks else self.tasks.get(task_id)

    def cancel(self, task: Task) -> bool:
        """End a task; False when it had ended before, and then it stays as it is."""
        now = self.clock()
        if task.ends <= now:
            return False
        task.cancelled, task.ends = True, now
        self._release_slot(task)
        return True

    def finish_tasks(self) -> list[Task]:
        """End all tasks that are queued or running as if their time had passed."""
        now = self.clock()
        ended = [task for task in self.tasks.values() if task.ends > now]
        for task in ended:
            task.runs_from, task.ends = min(task.runs_from, now), now
            self._release_slot(task)
        return ended

    def counters(self) -> dict[str, Any]:
        """How often each call was made and what came of the runs."""
        return {
            "calls": dict(self.calls),
            "runs_accepted": self.runs_accepted,
            "runs_refused": self.runs_refused,
            "max_active": self.max_active,
            "active": self.active(),
            "webhooks_sent": self.webhooks_sent,
        }

    def describe(self, task: Task) -> dict[str, Any]:
        """A task as the control routes show it; times are Unix seconds."""
        now, request = self.clock(), task.request
        ended = task.ends <= now
        return {
            "taskId": task.id,
            "kind": task.app.kind,
            "webappId": task.app.id if task.app.kind == "webapp" else None,
            "workflowId": task.app.id if task.app.kind == "workflow" else None,
            "key_ends_with": task.run.api_key[-4:],
            "nodeInfoList": request.get("nodeInfoList"),
            "webhookUrl": task.run.webhook_url,
            "instanceType": request.get("instanceType"),
            "accessPasswordGiven": bool(request.get("accessPassword")),
            "status": task.status(now),
            "started_at": task.started_at,
            "finished_at": task.ended_at if ended else None,
            "polls": task.polls,
        }

    def _next_fails(self) -> bool:
        if self.switches.fail_next:
            self.switches.fail_next -= 1
            return True
        return self.random.random() < self.switches.fail_probability

    def _release_slot(self, task: Task) -> None:
        """The task has ended: its slot is free, and it is not charged for unless it succeeded."""
        if not task.holds_slot:
            return
        task.holds_slot = False
        self._active[task.run.api_key] -= 1
        if task.cancelled or task.fails:
            refund(self.switches.account(task.run.api_key), task.payment)
