"""The requests that several sections send."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.request import Request, urlopen

from bench.floor import NODE_INFO
from bench.load import Load, Outcome, run_load
from bench.servers import Server
from simulator.apps import TEXT_TO_IMAGE

Call = tuple[str, str, str | None]


def post(path: str, body: object) -> Call:
    return ("POST", path, json.dumps(body))


def submit() -> Call:
    return post("/submit_task", {"webappId": TEXT_TO_IMAGE, "nodeInfoList": [NODE_INFO]})


def submit_as_saved(webapp_id: str) -> Call:
    """Run an app with the values that it has saved."""
    return post("/submit_task", {"webappId": webapp_id, "nodeInfoList": []})


def submit_load(url: str, *, connections: int, count: int, seconds: float | None = None) -> Load:
    return Load(url, [submit()], connections=connections, count=count, seconds=seconds)


def run_load_on(server: Server, load: Load) -> tuple[Outcome, float]:
    """The outcome, and how many microseconds of processor time the server spent on each response."""
    cpu_s = server.cpu_s
    outcome = run_load(load)
    return outcome, (server.cpu_s - cpu_s) / outcome.responses * 1e6


def task_reads(ids: Sequence[str]) -> list[Call]:
    return [("GET", f"/tasks/{task_id}", None) for task_id in ids]


def request_json(server: Server, call: Call) -> Any:
    """One request, and the JSON of its response."""
    method, path, body = call
    request = Request(server.url + path, method=method, data=body.encode() if body else None)  # noqa: S310
    request.add_header("Content-Type", "application/json")
    with urlopen(request, timeout=120) as response:  # noqa: S310 - our own http address
        return json.load(response)


def all_tasks(service: Server) -> list[dict[str, Any]]:
    """Every task of a service, newest first."""
    tasks: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = request_json(service, ("GET", f"/tasks?limit=200&cursor={cursor}", None))
        tasks += page["tasks"]
        if (cursor := page["next_cursor"]) is None:
            return tasks
