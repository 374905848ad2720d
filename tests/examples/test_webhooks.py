"""The webhook receivers as programs: they accept what was signed with the secret, once, and nothing else."""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.http_client import http_client
from tests.processes import ROOT, Running, free_port, start_program

EXAMPLES = ROOT / "examples/webhooks"
SECRET, NEXT_SECRET = (f"whsec_{base64.b64encode(letter * 32).decode()}" for letter in (b"a", b"b"))
OTHER_SECRET = f"whsec_{base64.b64encode(b'c' * 32).decode()}"
# With characters and spaces that a JSON library would write in another way.
BODY = '{"type": "task.succeeded",  "data": {"id": "task-1", "metadata": "猫", "outputs": []}}'

pytestmark = pytest.mark.processes


def start_python(folder: Path) -> AbstractContextManager[Running]:
    port = free_port()
    app = ["-m", "uvicorn", "receiver:app", "--app-dir", str(EXAMPLES), "--port", str(port)]
    env = {"WEBHOOK_SECRET": f"{SECRET}, {NEXT_SECRET}", "PYTHONDONTWRITEBYTECODE": "1"}
    return start_program([sys.executable, *app], port, "/openapi.json", env=env, cwd=folder)


def start_node(folder: Path) -> AbstractContextManager[Running]:
    port = free_port()
    env = {"WEBHOOK_SECRET": f"{SECRET}, {NEXT_SECRET}", "PORT": str(port)}
    return start_program(["node", str(EXAMPLES / "receiver.mjs")], port, "/health", env=env, cwd=folder)


@pytest.fixture(scope="module", params=[start_python, start_node], ids=["python", "node"])
def receiver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    start: Callable[[Path], AbstractContextManager[Running]] = request.param
    with start(tmp_path_factory.mktemp("receiver")) as running:
        yield running


def signed(
    webhook_id: str, body: str = BODY, *, secret: str = SECRET, age: timedelta = timedelta()
) -> dict[str, str]:
    """The headers of a delivery."""
    sent_at = datetime.now(UTC) - age
    signature = Webhook(secret).sign(webhook_id, sent_at, body)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": signature,
    }


def deliver(receiver: Running, headers: dict[str, str], body: str | bytes = BODY) -> int:
    return http_client.post(f"{receiver.url}/webhooks/gateway", headers=headers, content=body).status_code


def used(receiver: Running) -> int:
    return receiver.log.read_text().count("task.succeeded task-1")


@pytest.mark.parametrize("secret", [SECRET, NEXT_SECRET])
def test_an_event_is_used_once_however_often_it_is_delivered(receiver: Running, secret: str) -> None:
    before = used(receiver)
    for _ in range(3):
        assert deliver(receiver, signed(f"msg-{secret}", secret=secret)) == 204
    assert used(receiver) == before + 1


def with_member(name: str, value: str | None) -> dict[str, str]:
    headers = signed("msg-x") | {name: value or ""}
    return headers if value is not None else {key: text for key, text in headers.items() if key != name}


@pytest.mark.parametrize(
    "headers",
    [
        partial(signed, "msg-x", secret=OTHER_SECRET),
        partial(signed, "msg-x", age=timedelta(minutes=6)),
        partial(signed, "msg-x", age=-timedelta(minutes=6)),
        partial(signed, "msg-x", body=json.dumps(json.loads(BODY))),
        partial(with_member, "webhook-id", "msg-y"),
        partial(with_member, "webhook-id", None),
        partial(with_member, "webhook-timestamp", "soon"),
        partial(with_member, "webhook-signature", None),
        partial(with_member, "webhook-signature", "v1"),
        partial(with_member, "webhook-signature", "v1,"),
        partial(with_member, "webhook-signature", "v1,####"),
    ],
    ids=[
        *("other secret", "too old", "from the future", "a re-serialised body", "other id", "no id"),
        *("no time", "no signature", "half a signature", "empty signature", "no base64"),
    ],
)
def test_what_was_not_signed_like_this_is_refused(
    receiver: Running, headers: Callable[[], dict[str, Any]]
) -> None:
    before = used(receiver)
    assert deliver(receiver, headers()) == 401
    assert used(receiver) == before


def test_a_body_that_is_no_text_is_refused(receiver: Running) -> None:
    assert deliver(receiver, signed("msg-x"), b"\xff\xfe") == 401


def test_an_event_that_failed_holds_up_no_other_and_is_tried_again(tmp_path: Path) -> None:
    broken = json.dumps({"type": "task.succeeded", "data": {}})
    with start_python(tmp_path) as receiver:
        assert deliver(receiver, signed("msg-1", broken), broken) == 204
        for _ in range(2):  # the second response comes after the first one's event was used
            assert deliver(receiver, signed("msg-2")) == 204
        assert used(receiver) == 1
        receiver.kill()
    with start_python(tmp_path) as receiver:
        assert "msg-1 could not be used" in receiver.log.read_text()
        assert used(receiver) == 0
