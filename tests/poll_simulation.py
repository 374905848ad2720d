"""Many tasks of an app that never ran before, polled by the real schedule in simulated time."""

import heapq
import random
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from config import Settings
from models import Kind, Task, TaskStatus
from tasks.poll_schedule import PollSchedule
from tasks.run_times import RunTimes

LONGEST_LATENCY_S = 0.1
WEBAPP_ID = "1"


@dataclass(slots=True)
class EndedTasks:
    """In place of the database: the run times of tasks that have ended, and the simulated time."""

    now_ms: int = 0
    run_times_by_number: dict[int, float] = field(default_factory=dict)

    def clock(self) -> int:
        return self.now_ms

    async def run_times(self, target: str, *, limit: int) -> list[float]:
        newest = heapq.nlargest(limit, self.run_times_by_number)
        return [self.run_times_by_number[number] for number in newest]


@dataclass(slots=True)
class PolledTask:
    """One task: when it was submitted, how long it runs, and what polling it came to."""

    submitted_s: float
    run_s: float
    polls: int = 0
    lag: float = 0.0
    """Between the finish and the poll that detected it, in per cent of the run time."""


@dataclass(frozen=True, slots=True)
class Detection:
    """What polling came to: lags in per cent of the run time."""

    tasks: list[PolledTask]

    def lag(self, percent: int) -> float:
        return quantiles([task.lag for task in self.tasks], n=100)[percent - 1]

    @property
    def most_polls(self) -> int:
        return max(task.polls for task in self.tasks)


async def polled_tasks(count: int, run_s: tuple[float, float], submitted_within_s: float) -> Detection:
    """Poll tasks of one app, submitted one after the other, until all have ended.

    The service learns the app's run times as tasks end; each poll is up to `LONGEST_LATENCY_S` late.
    """
    settings, ended = Settings.model_construct(), EndedTasks()
    schedule = PollSchedule(RunTimes(ended), settings, ended.clock)
    tasks = [
        PolledTask(number * submitted_within_s / count, random.uniform(*run_s)) for number in range(count)
    ]
    due = [(task.submitted_s + schedule.after_submit_ms / 1000, n) for n, task in enumerate(tasks)]
    while due:
        now_s, number = heapq.heappop(due)
        now_s += random.uniform(0, LONGEST_LATENCY_S)
        ended.now_ms = int(now_s * 1000)
        task, age_s = tasks[number], now_s - tasks[number].submitted_s
        row = _row(number, task)
        task.polls += 1
        if age_s >= task.run_s:
            task.lag = (age_s - task.run_s) / task.run_s * 100
            ended.run_times_by_number[number] = task.run_s
            schedule.run_times.forget(row, age_s)
        else:
            heapq.heappush(due, (await schedule.next_poll_ms(row) / 1000, number))
    return Detection(tasks)


def _row(number: int, task: PolledTask) -> Task:
    members: dict[str, Any] = dict.fromkeys(Task._fields) | Task._field_defaults
    began_ms = int(task.submitted_s * 1000) or 1
    members |= {"id": str(number), "webapp_id": WEBAPP_ID, "kind": Kind.WEBAPP, "status": TaskStatus.RUNNING}
    return Task(**members | {"running_ms": began_ms, "accepted_ms": began_ms})
