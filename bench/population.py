"""Tasks in flight as in a service that has run for a while: of all ages, most of them long ones."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

from bench import rows
from bench.calls import post, request_json
from bench.servers import API_KEY, Server
from bench.upstream import RUN_TIMES, SPREAD, OldTask
from tasks.run_times import LATEST

# Each app is run as often as any other, so most tasks in flight are long ones. New tasks of the short ones
# arrive while it is measured; the long ones only finish.
USUAL_S = {
    **RUN_TIMES,
    "1993104857600000060": 60.0,
    "1993104857600000120": 120.0,
    "1993104857600000600": 600.0,
}
# Of an app's usual run time: by how much the first polls are spread when the service starts.
FIRST_POLLS = 0.1
SHORTEST_SPREAD_S, LONGEST_SPREAD_S = 2.0, 15.0
BATCH = 2_000


def arrivals_per_s(in_flight: int) -> float:
    """How many tasks of each app arrive a second where so many are in flight."""
    return in_flight / sum(USUAL_S.values())


def create(upstream: Server, database: Path, in_flight: int) -> list[str]:
    """Put the tasks into the upstream and the database; their ids here."""
    old = list(_old_tasks(arrivals_per_s(in_flight)))
    names: list[str] = []
    for start in range(0, len(old), BATCH):
        batch = [task.model_dump() for task in old[start : start + BATCH]]
        names += request_json(upstream, post("/bench/tasks", {"tasks": batch, "api_key": API_KEY}))
    now_s = time.time()
    polled = [_row(task, name, now_s) for task, name in zip(old, names, strict=True)]
    earlier = [(app, _run_time(usual_s)) for app, usual_s in USUAL_S.items() for _ in range(LATEST)]
    rows.create_running(database, polled, earlier)
    return [str(row["id"]) for row in polled]


def _old_tasks(each_per_s: float) -> Iterator[OldTask]:
    for app, usual_s in USUAL_S.items():
        for _ in range(round(each_per_s * usual_s)):
            run_s = _run_time(usual_s)
            yield OldTask(webapp_id=app, run_s=run_s, age_s=random.uniform(0, run_s))


def _run_time(usual_s: float) -> float:
    return usual_s * random.uniform(1 - SPREAD, 1 + SPREAD)


def _row(task: OldTask, name: str, now_s: float) -> dict[str, str | int]:
    spread_s = min(LONGEST_SPREAD_S, max(SHORTEST_SPREAD_S, FIRST_POLLS * USUAL_S[task.webapp_id]))
    next_poll_s = now_s + random.uniform(0, spread_s)
    return {
        "id": f"old-{name}",
        "webapp_id": task.webapp_id,
        "runninghub_task_id": name,
        "began_ms": int((now_s - task.age_s) * 1000),
        "next_poll_ms": int(next_poll_s * 1000),
        "poll_deadline_ms": int((next_poll_s + spread_s) * 1000),
    }
