"""The relay's own cost: how much longer a call takes here than at RunningHub itself."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

from bench import plots, servers
from bench.calls import Call, post, request_json, submit
from bench.load import Load, run_load
from bench.report import Findings, Goal, Rounds, Scale, Table
from bench.servers import API_KEY, Server
from simulator.apps import TEXT_TO_IMAGE

LONG_S = 3_600
COUNT = 200
PLAIN_COUNT = 20
FORM_DIRECT: Call = (
    "GET",
    f"/api/webapp/apiCallDemo?{urlencode({'apiKey': API_KEY, 'webappId': TEXT_TO_IMAGE})}",
    None,
)
FORM = post("/get_node_info", {"webappId": TEXT_TO_IMAGE})
FORM_ANEW = post("/get_node_info", {"webappId": TEXT_TO_IMAGE, "refresh": True})


def measure(scale: Scale) -> Findings:
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(servers.simulator(slots=0, queue_time=0, run_time=LONG_S))
        service = stack.enter_context(servers.service(upstream, Path(directory, "tasks.db")))
        plain = stack.enter_context(servers.plain(upstream, Path(directory, "plain.db")))
        task_id = request_json(service, submit())["task_id"]
        plain_task_id = request_json(plain, submit())["task_id"]
        (task, *_) = request_json(upstream, ("GET", "/simulator/tasks", None))
        direct = post("/task/openapi/outputs", {"apiKey": API_KEY, "taskId": task["taskId"]})
        rounds.measure(
            min(3, scale.rounds),
            {
                "form direct": lambda: _p50_ms(upstream, FORM_DIRECT),
                "form cached": lambda: _p50_ms(service, FORM),
                "form not cached": lambda: _p50_ms(service, FORM_ANEW),
                "form plain": lambda: _p50_ms(plain, FORM, PLAIN_COUNT),
                "query direct": lambda: _p50_ms(upstream, direct),
                "query": lambda: _p50_ms(service, _query(task_id)),
                "query plain": lambda: _p50_ms(plain, _query(plain_task_id), PLAIN_COUNT),
            },
        )
    return _findings(rounds)


def _query(task_id: str) -> Call:
    return post("/task/query_task_status", {"taskId": task_id})


def _p50_ms(server: Server, call: Call, count: int = COUNT) -> float:
    outcome = run_load(Load(server.url, [call], count=count))
    if outcome.errors:
        raise RuntimeError(f"{call} was responses {outcome.statuses}")
    return outcome.percentile_ms(50)


def _findings(rounds: Rounds) -> Findings:
    calls = {
        "/get_node_info, form in memory": ("form cached", None, "form plain"),
        "/get_node_info, polled anew": ("form not cached", "form direct", "form plain"),
        "/task/query_task_status": ("query", "query direct", "query plain"),
    }
    return Findings(
        title="The relay's own cost",
        method="One call after the other over one connection; the median time of a call, and the time that it"
        " takes longer than the same call made directly.",
        goals=[
            Goal.at_most(
                "/get_node_info with the form in memory, p50", rounds.median("form cached"), 3, "ms"
            ),
            Goal.at_most(
                "/task/query_task_status over a direct call, p50",
                rounds.difference("query", "query direct"),
                5,
                "ms",
            ),
        ],
        tables=[
            Table(
                ["p50", "service", "direct", "added", "plain adds"],
                [
                    [
                        call,
                        f"{rounds.median(ours):.2f} ms",
                        f"{rounds.median(direct):.2f} ms" if direct else "",
                        f"{rounds.difference(ours, direct) if direct else rounds.median(ours):.2f} ms",
                        f"{rounds.difference(plain, direct) if direct else rounds.median(plain):.1f} ms",
                    ]
                    for call, (ours, direct, plain) in calls.items()
                ],
            )
        ],
        plot=plots.bars(
            "relay",
            "One call after the other",
            "p50 in ms (log)",
            {
                call: {
                    "service": rounds.median(ours),
                    "plain": rounds.median(plain),
                    **({"direct": rounds.median(direct)} if direct else {}),
                }
                for call, (ours, direct, plain) in calls.items()
            },
            is_log=True,
        ),
    )
