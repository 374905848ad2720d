"""Odd requests against the real service: schemathesis over its OpenAPI document, hypothesis over bodies.

python -m tests.fuzz --seconds 600
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from errors import AppError
from simulator.apps import APPS
from tests.http_client import client_of
from tests.processes import ROOT, Running, clean_environment, start_service, start_simulator

SECONDS = 600
# What schemathesis needs to start; its examples and boundary values take a few seconds more.
BOUNDARIES_S = 8
BODIES_AT_ONCE = 100
REQUEST_TIMEOUT_S = 20
# `not_a_server_error` is left to our own check, which knows the table of problems; requests beyond the
# document (`refresh: 0`) may be taken all the same, and well-formed ones name tasks that do not exist.
CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
    "unsupported_method",
    "a_problem_of_the_table",
)
# RunningHub has bad moments too. None hits a run after it was sent: nobody would ever settle such a task.
FAULTS: dict[str, list[dict[str, Any]]] = {
    endpoint: [
        {"kind": kind, "code": 812, "msg": "CORPAPIKEY_INSUFFICIENT_FUNDS", "probability": 0.01}
        for kind in (("code",) if endpoint == "run" else ("code", "http_502_html", "lost_reply", "empty"))
    ]
    for endpoint in ("apiCallDemo", "upload", "run", "outputs", "cancel", "accountStatus")
}


def statuses_by_code() -> dict[str, int]:
    """The table of problems."""
    return {error.code: error.status_code for error in AppError.__subclasses__()}


def check_answer(status: int, headers: Mapping[str, str], body: bytes, *, path: str) -> None:
    """Raise AssertionError unless an answer is a success or a problem of the table."""
    if status < 400 or (path == "/health" and status == 503):
        return
    assert headers["content-type"] == "application/problem+json", f"{status} is no problem: {body[:200]!r}"
    problem = json.loads(body)
    assert problem["status"] == status == statuses_by_code().get(problem["code"]), problem
    assert problem["type"] == f"/docs#problem-{problem['code']}"
    assert problem["title"]
    assert problem["detail"]


@schemathesis.check
def a_problem_of_the_table(
    _: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """In schemathesis' own process, which loads this module by SCHEMATHESIS_HOOKS."""
    headers = {name: values[0] for name, values in response.headers.items()}
    check_answer(response.status_code, headers, response.content, path=case.path)


def task_ids(client: httpx.Client) -> list[str]:
    """Tasks for routes to work on, of which some succeed and some fail."""
    answers = [client.post("/submit_task", json={"webappId": app, "nodeInfoList": []}).json() for app in APPS]
    return [answer["task_id"] for answer in answers if "task_id" in answer]


def configuration(tasks: list[str]) -> str:
    """schemathesis.toml: known ids and fields, so that RunningHub does not refuse everything."""
    fields = [node for app in APPS.values() for node in app.nodes]
    words = {
        "apps": list(APPS),
        "tasks": tasks,
        "nodes": [node["nodeId"] for node in fields],
        "fields": [node["fieldName"] for node in fields],
        "values": [node["fieldValue"] for node in fields] + ["0", "1.5", "true", "None"],
    }
    places = {
        "body.webappId": "apps",
        "query.webapp_id": "apps",
        "path.task_id": "tasks",
        "body.taskId": "tasks",
        "body.nodeInfoList[*].nodeId": "nodes",
        "body.nodeInfoList[*].fieldName": "fields",
        "body.nodeInfoList[*].fieldValue": "values",
    }
    lines = [f"[dictionaries.{name}]\nvalues = {json.dumps(values)}" for name, values in words.items()]
    lines.append("[parameters]")
    lines += [f'"{place}" = {{ dictionary = "{name}", probability = 0.7 }}' for place, name in places.items()]
    lines += ["[checks]", "enabled = false", *(f"{check}.enabled = true" for check in CHECKS)]
    # OpenAPI 3.1 can describe a stream only as one string; schemathesis compares it with each event.
    lines += ["[[operations]]", 'include-path = "/tasks/{task_id}/events"']
    lines.append("checks.response_schema_conformance.enabled = false")
    return "\n".join(lines)


def schemathesis_finds_nothing(service: Running, config: Path, *arguments: str) -> bool:
    """Run its command line, which prints what it finds and how to repeat it."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), *arguments]
    command += ["--continue-on-failure", "--generation-database", "none"]
    command += ["--request-timeout", str(REQUEST_TIMEOUT_S), "--warnings", "off", "--no-color"]
    environment = clean_environment() | {
        "SCHEMATHESIS_HOOKS": "tests.fuzz",
        "PYTHONPATH": str(ROOT),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),  # its tables of Unicode take seconds
    }
    ended = subprocess.run(
        [*command, f"{service.url}/openapi.json"], env=environment, cwd=config.parent, check=False
    )
    return ended.returncode == 0


# All of Unicode, half surrogate pairs and NUL included. `st.text()` has only what UTF-8 can encode, and the
# table for that takes Hypothesis seconds.
TEXT = st.text(st.characters())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.sampled_from([*APPS, "", "0", "1e400", "\ud800", "\x00", 10**40, 2**63, -1])
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)
NODES = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.sampled_from([node[name] for app in APPS.values() for node in app.nodes])
        for name in ("nodeId", "fieldName", "fieldType", "fieldValue")
    },
)
MEMBERS = {
    "webappId": st.sampled_from([*APPS]) | JSON,
    "nodeInfoList": st.lists(NODES) | JSON,
    "instanceType": JSON,
    "accessPassword": JSON,
    "refresh": JSON,
    "taskId": JSON,
    "task_id": JSON,
    "runninghub_task_id": JSON,
    "resubmit": JSON,
    "event": JSON,
    "eventData": JSON,
    "apiKey": JSON,
}
BODIES = st.fixed_dictionaries({}, optional=MEMBERS).map(json.dumps).map(str.encode) | (
    JSON.map(json.dumps).map(str.encode) | st.binary()
)
CONTENT_TYPES = st.sampled_from(
    ["application/json", "application/json; charset=utf-16", "text/plain", "multipart/form-data; boundary=x"]
)
PATHS = (
    "/get_node_info",
    "/submit_task",
    "/task/query_task_status",
    "/upload",
    "/tasks/{task_id}/cancel",
    "/tasks/{task_id}/settle",
    f"/webhooks/runninghub/{{task_id}}/{'0' * 64}",
)


def send_bodies(client: httpx.Client, tasks: list[str], count: int) -> None:
    """Raises AssertionError with the smallest body whose answer is wrong."""

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(PATHS), st.sampled_from([*tasks, "0"]), CONTENT_TYPES, BODIES)
    def send(path: str, task_id: str, content_type: str, body: bytes) -> None:
        headers = {"Content-Type": content_type}
        answer = client.post(path.format(task_id=task_id), content=body, headers=headers)
        check_answer(answer.status_code, answer.headers, answer.content, path=path)

    send()


def fuzz(seconds: float) -> bool:
    """True when nothing was found in about `seconds`."""
    deadline = time.monotonic() + seconds
    with (
        tempfile.TemporaryDirectory() as directory,
        start_simulator(run_time=0.1, queue_time=0.05, slots=0, faults=json.dumps(FAULTS)) as simulator,
        start_service(simulator.url, Path(directory) / "tasks.db") as service,
        client_of(service.url, timeout=REQUEST_TIMEOUT_S) as client,
    ):
        tasks = task_ids(client)
        config = Path(directory) / "schemathesis.toml"
        config.write_text(configuration(tasks), encoding="utf-8")
        is_clean = schemathesis_finds_nothing(service, config, "run", "--phases", "examples,coverage")
        if (left := deadline - time.monotonic()) > 2 * BOUNDARIES_S:
            is_clean &= schemathesis_finds_nothing(
                service, config, "fuzz", "--max-time", str(int(left * 0.75))
            )
        send_bodies(client, tasks, BODIES_AT_ONCE)
        while time.monotonic() < deadline:
            send_bodies(client, tasks, BODIES_AT_ONCE)
        log = service.log.read_text()
        if "Traceback" in log:
            print(log[log.index("Traceback") - 500 :][:5000])
        return is_clean and "Traceback" not in log


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"about how long (default: {SECONDS})")
    sys.exit(not fuzz(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
