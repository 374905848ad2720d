"""Polling: thousands of tasks in flight at once, measured from outside."""

import sqlite3
import tempfile
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import mean, quantiles

from bench import plots, population, servers
from bench.calls import request_json, submit_as_saved, task_reads
from bench.load import Load, LoadProcess, Outcome
from bench.population import USUAL_S
from bench.report import Findings, Goal, Scale, Table
from bench.servers import Server
from bench.upstream import RUN_TIMES, PolledTask

READS_PER_S = 100
READ_IDS = 2_000
# Before that the service polls what became due while it was not running.
WARM_UP_S = 10.0
SAMPLE_S = 0.5
LONGEST_WAIT_S = 15.0
LATE, READ_P99_MS, RESIDENT_MB = 2, 100, 250
HALF_WITHIN, MOST_WITHIN, POLLS = 5, 20, 9
SELECT_DUE = "SELECT runninghub_task_id, next_poll_ms FROM tasks WHERE next_poll_ms IS NOT NULL"
SELECT_FINISHED = """
    SELECT runninghub_task_id, updated_at FROM tasks
    WHERE status = 'SUCCESS' AND runninghub_task_id IS NOT NULL
"""


@dataclass(slots=True)
class Samples:
    """What the database and the process showed while the service polled; times in Unix seconds."""

    planned: dict[str, dict[float, float]] = field(default_factory=lambda: defaultdict(dict))
    """By RunningHub's id: due times, each with the time at which it was first seen."""
    in_flight: list[int] = field(default_factory=list)
    rss_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run with so many tasks in flight."""

    in_flight: int
    began: float
    ended: float
    tasks: list[PolledTask]
    seen_at: dict[str, float]
    """By RunningHub's id: when our row got its final status."""
    samples: Samples
    reads: Outcome
    submits: Outcome
    cpu_share: float

    def lags(self, app: str | None = None) -> list[float]:
        """From RunningHub's finish to the change of our row, in per cent of the run time.

        A finish that was not seen before the end counts as seen then.
        """
        return [
            (self.seen_at.get(task.task_id, self.ended) - task.finishes_at) / task.run_s * 100
            for task in self.tasks
            if self.began + WARM_UP_S < task.finishes_at < self.ended - _late_s(task)
            and app in (None, task.webapp_id)
        ]

    def polls(self) -> list[int]:
        """The number for each task that was polled from its start to its finish."""
        return [
            len(task.polled_at)
            for task in self.tasks
            if task.started_at > self.began and task.task_id in self.seen_at
        ]

    def polls_per_s(self) -> float:
        polled = sum(self.began < at < self.ended for task in self.tasks for at in task.polled_at)
        return polled / (self.ended - self.began)

    def lateness(self) -> list[float]:
        """The time between two polls of a task, as a multiple of the wait that was planned."""
        return [lateness for task in self.tasks for lateness in self._lateness(task)]

    def _lateness(self, task: PolledTask) -> Iterator[float]:
        for due, first_seen in self.samples.planned[task.task_id].items():
            place = bisect_right(task.polled_at, first_seen)
            if not 0 < place < len(task.polled_at):
                continue
            before, after = task.polled_at[place - 1 : place + 1]
            # A poll before the due time: that was no plan but the lease of the poll then in flight.
            if self.began + WARM_UP_S < before < due <= after:
                yield (after - before) / (due - before)


def _late_s(task: PolledTask) -> float:
    """How long after its finish a task has to have been seen by."""
    return min(task.run_s * MOST_WITHIN / 100, LONGEST_WAIT_S)


def measure(scale: Scale) -> Findings:
    return _findings([_run(in_flight, scale.polling_s) for in_flight in scale.polled])


def _run(in_flight: int, seconds: float) -> Run:
    arrivals_per_s = population.arrivals_per_s(in_flight) * len(RUN_TIMES)
    # The long tasks that finish are not replaced, so that some more have to be there at first.
    at_first = round(in_flight * (1.04 + seconds / max(USUAL_S.values())))
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        database = Path(directory, "tasks.db")
        upstream = stack.enter_context(servers.aged_upstream())
        ids = population.create(upstream, database, at_first)
        service = stack.enter_context(servers.service(upstream, database))
        arrivals = [submit_as_saved(app) for app in RUN_TIMES]
        submits = LoadProcess.start(
            Load(service.url, arrivals, connections=64, seconds=seconds, rate=arrivals_per_s)
        )
        reads = LoadProcess.start(
            Load(service.url, task_reads(ids[-READ_IDS:]), connections=8, seconds=seconds, rate=READS_PER_S)
        )
        began, cpu_s = time.time(), service.cpu_s
        samples = _sample(service, database, began + seconds)
        ended = time.time()
        return Run(
            in_flight=in_flight,
            began=began,
            ended=ended,
            cpu_share=(service.cpu_s - cpu_s) / (ended - began),
            samples=samples,
            reads=reads.outcome(),
            submits=submits.outcome(),
            seen_at=_seen_at(database, ended),
            tasks=[PolledTask(**task) for task in request_json(upstream, ("GET", "/bench/tasks", None))],
        )


def _sample(service: Server, database: Path, until: float) -> Samples:
    samples = Samples()
    with closing(sqlite3.connect(database)) as connection:
        while (now := time.time()) < until:
            planned = connection.execute(SELECT_DUE).fetchall()
            for name, due_ms in planned:
                samples.planned[name].setdefault(due_ms / 1000, now)
            samples.in_flight.append(len(planned))
            samples.rss_mb = max(samples.rss_mb, service.rss_mb)
            time.sleep(SAMPLE_S)
    return samples


def _seen_at(database: Path, ended: float) -> dict[str, float]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(SELECT_FINISHED).fetchall()
    seen_at = {name: datetime.fromisoformat(updated_at).timestamp() for name, updated_at in rows}
    return {name: at for name, at in seen_at.items() if at <= ended}


def _findings(runs: list[Run]) -> Findings:
    largest = runs[-1]
    in_flight = f"{largest.in_flight:,} in flight"
    lags = quantiles(largest.lags(), n=100)
    return Findings(
        title="Polling",
        method="Tasks of six apps with usual run times of 5 s to 10 min (±15 %), each app run as often as any"
        " other; at the start they are of all ages, and tasks of the three short apps go on arriving through"
        f" `/submit_task`. Each run lasted {largest.ended - largest.began:.0f} s; what happened in its first"
        f" {WARM_UP_S:g} s is left out. Meanwhile {READS_PER_S} reads a second. Lateness is the time between"
        " two polls of a task as a multiple of the wait that the database showed as planned.",
        goals=[
            Goal.at_most(f"latest poll, {in_flight}", max(largest.lateness()), LATE, "due waits"),
            Goal.at_most(f"read p99, {in_flight}", largest.reads.percentile_ms(99), READ_P99_MS, "ms"),
            Goal.at_most(f"resident, {in_flight}", largest.samples.rss_mb, RESIDENT_MB, "MB"),
            Goal.at_most(
                f"half of the finishes seen within, {in_flight}", lags[49], HALF_WITHIN, "% of the run time"
            ),
            Goal.at_most(
                f"95 % of the finishes seen within, {in_flight}", lags[94], MOST_WITHIN, "% of the run time"
            ),
            Goal.at_most(
                f"polls of a task of 5 to 25 s, {in_flight}",
                max(largest.polls()),
                POLLS,
                "polls",
            ),
        ],
        tables=[_polling_table(runs), _freshness_table(runs)],
        plot=plots.distributions(
            "polling",
            f"Finishes seen within, by usual run time, {in_flight}",
            "lag in % of the run time",
            {f"{usual_s:g} s": largest.lags(app) for app, usual_s in USUAL_S.items()},
            [HALF_WITHIN, MOST_WITHIN],
        ),
    )


def _polling_table(runs: list[Run]) -> Table:
    def row(run: Run) -> list[str]:
        lateness = quantiles(run.lateness(), n=1000)
        return [
            f"{run.in_flight:,} ({min(run.samples.in_flight):,} at least)",
            f"{run.polls_per_s():.0f}",
            f"{mean(run.polls()):.1f} ({max(run.polls())})",
            f"{lateness[499]:.2f}, {lateness[989]:.2f}, {max(run.lateness()):.2f}",
            f"{run.reads.percentile_ms(50):.1f}, {run.reads.percentile_ms(99):.0f} ms",
            f"{run.submits.per_second:.0f}, {run.submits.percentile_ms(50):.0f} ms, {run.submits.errors}",
            f"{run.cpu_share:.0%}",
            f"{run.samples.rss_mb:.0f} MB",
        ]

    return Table(
        [
            "in flight",
            "polls a second",
            "a task of 5 to 25 s: mean (most)",
            "lateness: p50, p99, most",
            "reads: p50, p99",
            "submits: a second, p50, errors",
            "CPU of one core",
            "resident",
        ],
        [row(run) for run in runs],
    )


def _freshness_table(runs: list[Run]) -> Table:
    def cell(lags: list[float]) -> str:
        percentiles = quantiles(lags, n=100) if len(lags) > 1 else [float("nan")] * 99
        return f"{percentiles[49]:.1f} %, {percentiles[94]:.1f} % of {len(lags)}"

    return Table(
        ["lag in % of the run time: p50, p95", *(f"{run.in_flight:,} in flight" for run in runs)],
        [[f"{usual_s:g} s", *(cell(run.lags(app)) for run in runs)] for app, usual_s in USUAL_S.items()],
    )
