"""Freshness with RunningHub's webhook: from a task's finish to its row."""

import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

from bench import plots, servers
from bench.calls import request_json, submit
from bench.load import Load, run_load
from bench.report import Findings, Goal, Scale, Table

TASKS, QUICK_TASKS = 200, 60
TASKS_PER_S = 40
RUN_S, RUN_MAX_S = 3.0, 6.0
WANTED_S = 0.3
SETTLE_S = 2.0


def measure(scale: Scale) -> Findings:
    tasks = QUICK_TASKS if scale.is_quick else TASKS
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(
            servers.simulator(slots=0, queue_time=0, run_time=RUN_S, run_time_max=RUN_MAX_S)
        )
        service = stack.enter_context(servers.public_service(upstream, Path(directory, "tasks.db")))
        run_load(Load(service.url, [submit()], connections=8, count=tasks, rate=TASKS_PER_S))
        time.sleep(RUN_MAX_S + SETTLE_S)
        finished_at = {
            task["taskId"]: task["finished_at"]
            for task in request_json(upstream, ("GET", "/simulator/tasks", None))
        }
        rows = request_json(service, ("GET", "/tasks?limit=200", None))["tasks"]
    lags_s = [_lag_s(row, finished_at[row["runninghub_task_id"]]) for row in rows]
    return _findings(lags_s)


def _lag_s(row: dict[str, Any], finished_at: float) -> float:
    if row["status"] != "SUCCESS":
        return float("inf")
    return datetime.fromisoformat(row["updated_at"]).timestamp() - finished_at


def _findings(lags_s: list[float]) -> Findings:
    percentiles = quantiles(lags_s, n=100)
    return Findings(
        title="Freshness with a webhook",
        method=f"`PUBLIC_URL` is the service's own address; {len(lags_s)} tasks of {RUN_S:g} to {RUN_MAX_S:g}"
        f" s, {TASKS_PER_S} a second. The time from RunningHub's finish to the change of the row.",
        goals=[
            Goal.at_most("with a webhook, 95 % of the finishes seen within", percentiles[94], WANTED_S, "s")
        ],
        tables=[
            Table(
                ["p50", "p95", "most"],
                [[f"{seconds * 1000:.0f} ms" for seconds in (percentiles[49], percentiles[94], max(lags_s))]],
            )
        ],
        plot=plots.distributions(
            "webhook",
            "Finishes seen within, with a webhook",
            "ms",
            {"with a webhook": [lag * 1000 for lag in lags_s]},
            [WANTED_S * 1000],
        ),
    )
