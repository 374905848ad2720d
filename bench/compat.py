"""RunningHub's own routes: how much longer a call takes through the service than at RunningHub itself.

`python -m bench.compat` prints this section alone.
"""

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
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
FORM: Call = ("GET", f"/api/webapp/apiCallDemo?{urlencode({**KEY, **APP})}", None)
ACCOUNT = post("/uc/openapi/accountStatus", {"apikey": API_KEY})
MAX_ADDED_MS = 3


def measure(scale: Scale) -> Findings:
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(servers.simulator(slots=0, queue_time=0, run_time=LONG_S))
        service = stack.enter_context(servers.service(upstream, Path(directory, "tasks.db")))
        direct_calls, calls = _calls(upstream), _calls(service)
        measures = {}
        for name, call in direct_calls.items():
            measures[f"{name} direct"] = lambda call=call: _p50_ms(upstream, call)
            measures[name] = lambda call=calls[name]: _p50_ms(service, call)
        rounds.measure(min(3, scale.rounds), measures)
    return _findings(rounds, list(calls))


def _calls(server: Server) -> dict[str, Call]:
    """Each call about a task that runs at this server."""
    task_id = request_json(server, RUN)["data"]["taskId"]
    body = {**KEY, "taskId": task_id}
    return {
        "ai-app/run": RUN,
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


def _findings(rounds: Rounds, names: list[str]) -> Findings:
    added = {name: rounds.difference(name, f"{name} direct") for name in names}
    return Findings(
        title="RunningHub's own routes",
        method="One call after the other over one connection, with the body of a client built for RunningHub;"
        " the median time of a call, and the time that it takes longer than the same call made directly. A"
        " run is stored on disk before and after the paid call; outputs and status come from the database.",
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
                ],
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


if __name__ == "__main__":
    found = measure(Scale())
    goals = [[goal.what, goal.measured, goal.wanted] for goal in found.goals]
    for table in (Table(["what", "measured", "wanted"], goals), *found.tables):
        print(table.as_markdown())
