"""An app that never ran before, in simulated time: many tasks at once, of very different run times."""

import heapq
import random
from dataclasses import dataclass, field
from statistics import mean, quantiles

from bench import plots
from bench.report import Findings, Goal, Scale, Table
from config import Settings
from tasks.poll_schedule import next_delay_s
from tasks.run_times import KNOWN_FOR_S, LATEST

TASKS = 2_000
RUN_S = (5.0, 25.0)
# How long it takes until all are submitted.
SUBMIT_S = (1.0, 10.0, 20.0)
LONGEST_LATENCY_S = 0.1
HALF_WITHIN, MOST_WITHIN, POLLS = 10, 25, 9


@dataclass(slots=True)
class History:
    """The run times that a service knows: of the newest tasks that have ended, read now and then."""

    ended: list[tuple[int, float]] = field(default_factory=list)
    known: list[float] = field(default_factory=list)
    read_at: float = float("-inf")

    def end(self, number: int, run_s: float) -> None:
        self.ended.append((number, run_s))
        self.read_at = float("-inf")

    def at(self, now: float) -> list[float]:
        if now - self.read_at > KNOWN_FOR_S:
            self.known = [run_s for _, run_s in heapq.nlargest(LATEST, self.ended)]
            self.read_at = now
        return self.known


@dataclass(slots=True)
class Simulated:
    """One task: when it was submitted, how long it runs, and what polling it came to."""

    submitted: float
    run_s: float
    polls: int = 0
    lag: float = 0.0


def measure(scale: Scale) -> Findings:
    random.seed(1)
    return _findings({submit_s: _simulate(submit_s) for submit_s in SUBMIT_S})


def _simulate(submit_s: float) -> list[Simulated]:
    settings, history = Settings.model_construct(), History()
    tasks = [Simulated(number * submit_s / TASKS, random.uniform(*RUN_S)) for number in range(TASKS)]
    due = [(task.submitted + settings.poll_interval_s, number) for number, task in enumerate(tasks)]
    while due:
        now, number = heapq.heappop(due)
        task = tasks[number]
        now += random.uniform(0, LONGEST_LATENCY_S)
        task.polls += 1
        age_s = now - task.submitted
        if age_s >= task.run_s:
            task.lag = (age_s - task.run_s) / task.run_s * 100
            history.end(number, task.run_s)
            continue
        delay_s = next_delay_s(
            age_s,
            history.at(now),
            first_s=settings.poll_interval_s,
            longest_s=settings.poll_interval_max_s,
        )
        heapq.heappush(due, (now + delay_s, number))
    return tasks


def _findings(simulated: dict[float, list[Simulated]]) -> Findings:
    lags = {submit_s: quantiles([task.lag for task in tasks], n=100) for submit_s, tasks in simulated.items()}
    polls = {submit_s: [task.polls for task in tasks] for submit_s, tasks in simulated.items()}
    return Findings(
        title="An app that never ran before",
        method=f"{TASKS:,} tasks of {RUN_S[0]:g} to {RUN_S[1]:g} s of one app at a fresh service, in"
        " simulated time: submitted within 1, 10 and 20 s, polled by `tasks/poll_schedule.py` with default"
        f" settings, each poll up to {LONGEST_LATENCY_S:g} s late. The service learns the app's run times as"
        " tasks end.",
        goals=[
            Goal.at_most(
                "half of the finishes detected within, of the run time, fresh app",
                max(each[49] for each in lags.values()),
                HALF_WITHIN,
                "%",
            ),
            Goal.at_most(
                "95 % of the finishes detected within, of the run time, fresh app",
                max(each[94] for each in lags.values()),
                MOST_WITHIN,
                "%",
            ),
            Goal.at_most(
                "polls of a task of a fresh app", max(max(each) for each in polls.values()), POLLS, "polls"
            ),
        ],
        tables=[
            Table(
                ["submitted within", "half detected within", "95 % within", "polls: mean", "most"],
                [
                    [
                        f"{submit_s:g} s",
                        f"{lags[submit_s][49]:.1f} %",
                        f"{lags[submit_s][94]:.1f} %",
                        f"{mean(polls[submit_s]):.1f}",
                        f"{max(polls[submit_s])}",
                    ]
                    for submit_s in simulated
                ],
            )
        ],
        plot=plots.distributions(
            "fresh_app",
            "Finishes detected within, by how long the submits took",
            "lag in % of the run time",
            {f"{submit_s:g} s": [task.lag for task in tasks] for submit_s, tasks in simulated.items()},
            [HALF_WITHIN, MOST_WITHIN],
        ),
    )
