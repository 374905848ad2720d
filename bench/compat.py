"""RunningHub's own routes: how much longer a call takes through the service than at RunningHub itself."""

import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from bench import plots, servers
from bench.calls import Call, post, request_json
from bench.load import Load, run_load
from bench.report import Findings, Goal, Rounds, Scale, Table
from bench.servers import API_KEY, Server
from simulator.apps import TEXT_TO_IMAGE

LONG_S = 3_600
COUNT = 50
KEY = {"apiKey": API_KEY}
APP = {"webappId": TEXT_TO_IMAGE}
RUN = post("/task/openapi/ai-app/run", {**KEY, **APP, "nodeInfoList": []})
# RunningHub takes the key of v2 from a header, which the load has only one of: none is needed by either.
RUN_V2 = post(f"/openapi/v2/run/ai-app/{TEXT_TO_IMAGE}", {**KEY, "nodeInfoList": []})
FORM: Call = ("GET", f"/api/webapp/apiCallDemo?{urlencode({**KEY, **APP})}", None)
ACCOUNT = post("/uc/openapi/accountStatus", {"apikey": API_KEY})
MAX_ADDED_MS = 3
# A run is stored before its paid call, and its outcome before the response; each time some pages are synced.
SYNCS_OF_A_RUN = 2
SYNCED_BYTES = 32 * 1024
SYNC = "two syncs to disk"


def measure(scale: Scale) -> Findings:
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(servers.simulator(slots=0, queue_time=0, run_time=LONG_S))
        service = stack.enter_context(servers.service(upstream, Path(directory, "tasks.db")))
        direct_calls, calls = _calls(upstream), _calls(service)
        measures: dict[str, Callable[[], float]] = {}
        for name, call in direct_calls.items():
            measures[f"{name} direct"] = partial(_p50_ms, upstream, call)
            measures[name] = partial(_p50_ms, service, calls[name])
        measures[SYNC] = lambda: SYNCS_OF_A_RUN * _sync_ms(Path(directory, "synced"))
        rounds.measure(min(3, scale.rounds), measures)
    return _findings(rounds, list(calls))


def _calls(server: Server) -> dict[str, Call]:
    """Each call about a task that runs at this server."""
    task_id = request_json(server, RUN)["data"]["taskId"]
    body = {**KEY, "taskId": task_id}
    return {
        "ai-app/run": RUN,
        "run/ai-app (v2)": RUN_V2,
        "outputs": post("/task/openapi/outputs", body),
        "status": post("/task/openapi/status", body),
        "apiCallDemo": FORM,
        "accountStatus": ACCOUNT,
    }


def _p50_ms(server: Server, call: Call) -> float:
    outcome = run_load(Load(server.url, [call], count=COUNT))
    if outcome.errors:
        raise RuntimeError(f"{json.dumps(call[:2])} was answered {outcome.statuses}")
    return outcome.percentile_ms(50)


def _sync_ms(path: Path) -> float:
    """The median time that the disk takes to store what a commit appends to a file."""
    times = []
    with path.open("ab", buffering=0) as file:
        for _ in range(COUNT):
            began = time.perf_counter()
            file.write(bytes(SYNCED_BYTES))
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return median(times)


def _findings(rounds: Rounds, names: list[str]) -> Findings:
    added = {name: rounds.difference(name, f"{name} direct") for name in names}
    return Findings(
        title="RunningHub's own routes",
        method="One call after the other over one connection, with the body of a client built for RunningHub;"
        " the median time of a call, and the time that it takes longer than the same call made directly. A"
        " run is stored on disk before its paid call, and its outcome before the response: two syncs, whose"
        " time on this disk is measured in the same rounds. Outputs and status come from the database.",
        goals=[
            Goal.at_most(f"{name} over a direct call, p50", added[name], MAX_ADDED_MS, "ms") for name in names
        ],
        tables=[
            Table(
                ["p50", "service", "direct", "added"],
                [
                    [
                        name,
                        f"{rounds.median(name):.2f} ms",
                        f"{rounds.median(f'{name} direct'):.2f} ms",
                        f"{added[name]:.2f} ms",
                    ]
                    for name in names
                ]
                + [[SYNC, "", "", f"{rounds.median(SYNC):.2f} ms"]],
            )
        ],
        plot=plots.bars(
            "compat",
            "RunningHub's own routes, one call after the other",
            "p50 in ms",
            {
                name: {"service": rounds.median(name), "direct": rounds.median(f"{name} direct")}
                for name in names
            },
        ),
    )
