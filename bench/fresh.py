"""Paid calls of a fresh service, and beside free calls that hang."""

import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench import plots, servers
from bench.calls import Call, all_tasks, post, request_json, submit_load
from bench.load import Load, LoadProcess, Outcome, run_load
from bench.report import Findings, Goal, Scale, Table

RUN_LATENCY_S = 0.3
FRESH_S, FRESH_AT_ONCE, FRESH_COUNT = 4.0, 32, 2_000
FRESH_PER_S, FRESH_P50_MS = 30, 1_000
# What so many connections allow when RunningHub takes that long to respond.
POSSIBLE_PER_S = FRESH_AT_ONCE / RUN_LATENCY_S
LONG_S = 3_600
HANGING, IDLE_SUBMITS, WANTED_P95 = 300, 60, 1.5
HANG = json.dumps({"faults": {"outputs": {"kind": "hang"}}})


def measure(scale: Scale) -> Findings:
    return _findings(
        _fresh("hidden"), _fresh("numbers"), _submits_beside(0, scale), _submits_beside(HANGING, scale)
    )


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
        ids = [task["id"] for task in all_tasks(service)][:hanging]
        if ids:
            request_json(upstream, ("PATCH", "/simulator/switches", HANG))
            calls: list[Call] = [post("/task/query_task_status", {"taskId": task_id}) for task_id in ids]
            LoadProcess.start(Load(service.url, calls, connections=hanging, count=hanging))
            time.sleep(2)
        count = IDLE_SUBMITS // (4 if scale.is_quick else 1)
        return run_load(submit_load(service.url, connections=1, count=count))


def _findings(unknown: Outcome, known: Outcome, idle: Outcome, hanging: Outcome) -> Findings:
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
    return Findings(
        title="Paid calls of a fresh service",
        method=f"RunningHub responds to a run after {RUN_LATENCY_S:g} s. A fresh service, {FRESH_AT_ONCE}"
        f" submits at once for {FRESH_S:g} s, where it cannot read the account's limit and where it can."
        f" Submits one after the other, idle and while {HANGING} `/task/query_task_status` hang.",
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
        ],
        plot=plots.bars(
            "fresh",
            f"Submits, {latency}",
            "submits a second",
            {
                "fresh": {"limit unknown": unknown.per_second, "limit known": known.per_second},
                f"{FRESH_AT_ONCE} connections allow": {"possible": POSSIBLE_PER_S},
            },
        ),
    )
