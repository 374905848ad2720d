"""Paid calls: how fast a fresh service makes them, and whether an account's slots are kept full."""

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import plots, servers
from bench.calls import Call, request_json, submit, submit_load
from bench.load import Load, LoadProcess, Outcome, run_load
from bench.report import Findings, Goal, Scale, Table
from bench.servers import Server

RUN_LATENCY_S = 0.3
FRESH_S, FRESH_AT_ONCE, FRESH_COUNT = 4.0, 32, 2_000
FRESH_PER_S, FRESH_P50_MS = 30, 1_000
# What so many connections allow when RunningHub takes that long to respond.
POSSIBLE_PER_S = FRESH_AT_ONCE / RUN_LATENCY_S
LONG_S = 3_600
SLOTS, TASKS = 2, 40
# By run time: how much longer than the ideal time it may take.
LONGEST = {1.0: 1.25, 10.0: 1.05}
REFUSED_PER_ACCEPTED = 0.1
HANGING, IDLE_SUBMITS, WANTED_P95 = 300, 60, 1.5
QUICK_TASKS = 10
POLL_S = 0.5
DONE = "/tasks?status=SUCCESS&limit=200"


@dataclass(frozen=True, slots=True)
class Queue:
    """What became of tasks that waited for a few slots; times in seconds."""

    run_s: float
    tasks: int
    took_s: float
    refused: int
    is_in_order: bool

    @property
    def against_ideal(self) -> float:
        return self.took_s / (self.run_s * self.tasks / SLOTS)


def measure(scale: Scale) -> Findings:
    unknown = _fresh("hidden")
    known = _fresh("numbers")
    idle, hanging = _submits_beside(0, scale), _submits_beside(HANGING, scale)
    queues = [_queue(run_s, QUICK_TASKS if scale.is_quick else TASKS) for run_s in LONGEST]
    return _findings(unknown, known, idle, hanging, queues)


def _fresh(queue_status: str) -> Outcome:
    """Submits to a service that has made no paid call yet; `queue_status`: whether its limit is known."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(
            servers.simulator(
                slots=5_000,
                queue_time=0,
                run_time=LONG_S,
                run_latency=RUN_LATENCY_S,
                queue_status=queue_status,
            )
        )
        service = stack.enter_context(servers.service(upstream, Path(directory, "tasks.db")))
        return run_load(
            submit_load(service.url, connections=FRESH_AT_ONCE, count=FRESH_COUNT, seconds=FRESH_S)
        )


def _submits_beside(hanging: int, scale: Scale) -> Outcome:
    """Submits one after the other while so many queries of tasks hang at RunningHub."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(
            servers.simulator(slots=0, queue_time=0, run_time=LONG_S, run_latency=RUN_LATENCY_S)
        )
        service = stack.enter_context(
            servers.service(
                upstream, Path(directory, "tasks.db"), poll_interval_s="120", poll_interval_max_s="120"
            )
        )
        run_load(submit_load(service.url, connections=8, count=max(hanging, 32)))
        ids = [task["id"] for task in _all_tasks(service)][:hanging]
        if ids:
            request_json(
                upstream, ("PATCH", "/simulator/switches", '{"faults": {"outputs": {"kind": "hang"}}}')
            )
            calls: list[Call] = [
                ("POST", "/task/query_task_status", f'{{"taskId": "{task_id}"}}') for task_id in ids
            ]
            LoadProcess.start(Load(service.url, calls, connections=hanging, count=hanging))
            time.sleep(2)
        count = IDLE_SUBMITS // (4 if scale.is_quick else 1)
        return run_load(submit_load(service.url, connections=1, count=count))


def _all_tasks(service: Server) -> list[dict[str, str]]:
    tasks: list[dict[str, str]] = []
    cursor = ""
    while True:
        page = request_json(service, ("GET", f"/tasks?limit=200&cursor={cursor}", None))
        tasks += page["tasks"]
        if (cursor := page["next_cursor"]) is None:
            return tasks


def _queue(run_s: float, tasks: int) -> Queue:
    """Tasks that are submitted at once to an account with few slots, until all have ended."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(
            servers.simulator(
                slots=SLOTS, queue_time=0, run_time=run_s, run_latency=RUN_LATENCY_S, queue_status="hidden"
            )
        )
        service = stack.enter_context(servers.service(upstream, Path(directory, "tasks.db")))
        run_load(Load(service.url, [submit()], connections=tasks, count=tasks))
        while len(request_json(service, ("GET", DONE, None))["tasks"]) < tasks:
            time.sleep(POLL_S)
        ran = request_json(upstream, ("GET", "/simulator/tasks", None))
        submitted = [task["runninghub_task_id"] for task in reversed(_all_tasks(service))]
        return Queue(
            run_s=run_s,
            tasks=tasks,
            took_s=max(task["finished_at"] for task in ran) - min(task["started_at"] for task in ran),
            refused=request_json(upstream, ("GET", "/simulator/counters", None))["runs_refused"],
            is_in_order=submitted == [task["taskId"] for task in ran],
        )


def _findings(
    unknown: Outcome, known: Outcome, idle: Outcome, hanging: Outcome, queues: list[Queue]
) -> Findings:
    latency = f"run latency {RUN_LATENCY_S:g} s"
    ratio = hanging.percentile_ms(95) / idle.percentile_ms(95)
    goals = [
        Goal.at_least(
            f"submits of a fresh service, limit unknown, {latency}",
            unknown.per_second,
            FRESH_PER_S,
            "a second",
        ),
        Goal.at_most("the same, p50", unknown.percentile_ms(50), FRESH_P50_MS, "ms"),
        Goal.at_least(
            f"submits of a fresh service, limit known, {latency}, of what {FRESH_AT_ONCE} connections allow",
            known.per_second / POSSIBLE_PER_S,
            0.9,
        ),
        Goal.at_most(
            f"p95 of submits beside {HANGING} hanging free calls, against idle", ratio, WANTED_P95, "times"
        ),
    ]
    for queue in queues:
        name = f"{queue.tasks} tasks of {queue.run_s:g} s on {SLOTS} slots"
        goals += [
            Goal.at_most(
                f"{name}, against the ideal time", queue.against_ideal, LONGEST[queue.run_s], "times"
            ),
            Goal.at_most(
                f"{name}, refused paid calls",
                queue.refused,
                REFUSED_PER_ACCEPTED * queue.tasks,
                "calls",
            ),
            Goal.at_least(f"{name}, started in order", float(queue.is_in_order), 1, "(1: yes)"),
        ]
    return Findings(
        title="Paid calls and slots",
        method=f"RunningHub responds to a run after {RUN_LATENCY_S:g} s. A fresh service, {FRESH_AT_ONCE}"
        f" submits at once for {FRESH_S:g} s, where it cannot read the account's limit and where it can."
        f" Submits one after the other, idle and while {HANGING} `/task/query_task_status` hang. Then"
        f" {SLOTS} slots and a limit that cannot be read: {TASKS} tasks are submitted at once, and the time"
        " from the first start to the last finish is compared with slots that are never free.",
        goals=goals,
        tables=[
            Table(
                ["submits", "a second", "p50", "p95", "errors"],
                [
                    [
                        name,
                        f"{outcome.per_second:.0f}",
                        f"{outcome.percentile_ms(50):,.0f} ms",
                        f"{outcome.percentile_ms(95):,.0f} ms",
                        f"{outcome.errors} of {outcome.responses}",
                    ]
                    for name, outcome in {
                        "fresh, limit unknown": unknown,
                        "fresh, limit known": known,
                        "one at a time, idle": idle,
                        f"one at a time, {HANGING} hanging calls": hanging,
                    }.items()
                ],
            ),
            Table(
                ["slots kept full", "took", "ideal", "refused", "in order"],
                [
                    [
                        f"{queue.tasks} tasks of {queue.run_s:g} s",
                        f"{queue.took_s:.1f} s",
                        f"{queue.took_s / queue.against_ideal:.0f} s",
                        f"{queue.refused}",
                        "yes" if queue.is_in_order else "no",
                    ]
                    for queue in queues
                ],
            ),
        ],
        plot=plots.bars(
            "slots",
            f"Submits, {latency}",
            "submits a second",
            {
                "fresh": {"limit unknown": unknown.per_second, "limit known": known.per_second},
                f"{FRESH_AT_ONCE} connections allow": {"possible": POSSIBLE_PER_S},
            },
        ),
    )
