"""No secret leaves: every byte of answers, logs and database after every route and every fault."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from secret_key import SecretKey
from simulator.apps import ALWAYS_FAILS, TEXT_TO_IMAGE
from simulator.replies import COMFY_AUTH
from simulator.switches import FaultKind
from tests.http_client import client_of, http_client
from tests.processes import Running, free_port, start_service, start_simulator

pytestmark = pytest.mark.processes

API_KEY = "c0ffee00c0ffee00c0ffee00c0ffee00"
TOKENS = ("first-secret-token", "sécond/secret+token")
PASSWORD = "the-hidden-password"
UNKNOWN_TASK = "1990000000000000001"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)

Call = tuple[str, str, dict[str, Any]]


@pytest.fixture(params=["text", "json"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Running, Running]]:
    port = free_port()
    env = {
        "RUNNINGHUB_API_KEY": API_KEY,
        "ACCESS_TOKENS": ",".join(TOKENS),
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": request.param,
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "POLL_INTERVAL_S": "0.1",
        "POLL_INTERVAL_MAX_S": "0.2",
        "RUNNINGHUB_TIMEOUT_S": "0.3",
    }
    with (
        start_simulator(slots=0, queue_time=0, run_time=0.2) as simulator,
        start_service(
            simulator.url, tmp_path / "t.db", env=env, port=port, arguments=["--log-level", "debug"]
        ) as service,
    ):
        yield simulator, service


def submission(webapp_id: str = TEXT_TO_IMAGE, **node: Any) -> dict[str, Any]:
    item = {"nodeId": "15", "fieldName": "text", "fieldValue": "a cat", **node}
    return {"webappId": webapp_id, "nodeInfoList": [item], "accessPassword": PASSWORD, "apiKey": API_KEY}


def calls(task_id: str) -> list[Call]:
    """Every route, well used and badly."""
    return [
        ("POST", "/get_node_info", {"json": {"webappId": TEXT_TO_IMAGE, "refresh": True}}),
        ("POST", "/upload", {"files": {"file": ("a.png", PNG)}}),
        ("POST", "/upload", {"json": {"apiKey": API_KEY}}),
        ("POST", "/submit_task", {"json": submission()}),
        ("POST", "/submit_task", {"json": submission(ALWAYS_FAILS)}),
        ("POST", "/submit_task", {"json": submission(nodeId=PASSWORD * 100)}),
        ("POST", "/submit_task", {"json": {"accessPassword": [PASSWORD], "webappId": {"apiKey": API_KEY}}}),
        ("POST", "/submit_task", {"content": f'{{"apiKey": "{API_KEY}", "accessPassword": "{PASSWORD}"'}),
        ("POST", "/task/query_task_status", {"json": {"taskId": task_id}}),
        ("POST", "/task/query_task_status", {"json": {"taskId": UNKNOWN_TASK}}),
        ("GET", f"/tasks/{task_id}", {}),
        ("GET", "/tasks", {}),
        ("POST", f"/tasks/{task_id}/cancel", {}),
        ("POST", f"/tasks/{task_id}/settle", {"json": {"resubmit": True}}),
        ("GET", "/account", {}),
        ("POST", f"/webhooks/runninghub/{task_id}/{'0' * 64}", {"json": {"apiKey": API_KEY}}),
        ("GET", "/health", {}),
        ("GET", "/docs", {}),
        ("GET", "/openapi.json", {}),
        ("GET", "/", {}),
        ("GET", "/no/such/route", {}),
    ]


class Recorder:
    """A client that keeps every byte it is answered, headers included."""

    def __init__(self, url: str) -> None:
        self.seen = bytearray()
        headers = {b"Authorization": f"Bearer {TOKENS[0]}".encode()}
        self._client = client_of(url, headers=headers, timeout=30)

    def __call__(self, method: str, path: str, **parts: Any) -> httpx.Response:
        response = self._client.request(method, path, **parts)
        for name, value in response.headers.raw:
            self.seen += name + b": " + value + b"\n"
        self.seen += response.content
        return response

    def close(self) -> None:
        self._client.close()


def set_switches(simulator: Running, **switches: Any) -> None:
    http_client.patch(f"{simulator.url}/simulator/switches", json=switches).raise_for_status()


def every_fault() -> Iterator[dict[str, Any]]:
    # Refusals first: after a lost answer, paid calls pause for a while.
    leak = f"the key {API_KEY} is wrong"
    for code in (1, 301, 433, 803, 805, 806, 808, 1000):
        data = {"failedReason": {"exception_message": leak}}
        yield {"kind": "code", "code": code, "msg": leak, "data": data}
    for kind in get_args(FaultKind):
        yield {"kind": kind, "seconds": 0.5} if kind == "hang" else {"kind": kind}


def test_no_secret_is_in_answers_logs_or_the_database(
    running: tuple[Running, Running], tmp_path: Path
) -> None:
    simulator, service = running
    record = Recorder(service.url)
    task_id = record("POST", "/submit_task", json=submission()).json()["task_id"]
    for call in calls(task_id):
        record(call[0], call[1], **call[2])
    for fault in every_fault():
        set_switches(simulator, faults={"*": fault})
        for method, path, parts in calls(task_id)[:10] + calls(task_id)[14:15]:
            record(method, path, **parts)
    set_switches(simulator, faults={})
    for token in ("wrong", TOKENS[1]):
        record("GET", "/account", headers={b"Authorization": f"Bearer {token}".encode()})
    for task in http_client.get(f"{simulator.url}/simulator/tasks").json():
        record("POST", task["webhookUrl"].removeprefix(service.url), json={"event": "TASK_END"})
    tasks = record("GET", "/tasks?limit=200").json()["tasks"]
    stored = database_bytes(tmp_path)
    break_database(tmp_path / "t.db")
    for method, path, parts in calls(task_id):
        record(method, path, **parts)
    record.close()

    installation = SecretKey.next_to(str(tmp_path / "t.db"))
    signatures = [installation.signature(task["id"]) for task in tasks]
    own_secret = (tmp_path / "t.db.secret").read_text().strip()
    secrets = [API_KEY, *TOKENS, PASSWORD, COMFY_AUTH, own_secret, *signatures]
    places = {"answers": bytes(record.seen), "log": service.log.read_bytes(), "database": stored}
    assert len(signatures) > 10
    assert {place: len(content) > 10_000 for place, content in places.items()} == dict.fromkeys(places, True)
    found = [
        (place, word) for place, content in places.items() for word in secrets if word.encode() in content
    ]
    assert found == []
    for word in (b"Traceback", b"execution.py", b"curl --location", b"aiosqlite", b"sqlite3"):
        assert word not in record.seen


def database_bytes(directory: Path) -> bytes:
    """Every file of the database but the secret's own."""
    files = [path for path in directory.glob("t.db*") if path.suffix != ".secret"]
    assert any(path.name == "t.db-wal" for path in files)
    return b"".join(path.read_bytes() for path in files)


def break_database(path: Path) -> None:
    """From now on each of the service's statements fails, so that tracebacks are logged."""
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE tasks RENAME TO gone")
    connection.commit()
    connection.close()
