"""The outgoing webhooks of a task over HTTP, from the submit to the list of attempts."""

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.users.service import OPERATOR_TOKEN, Served, serving_users

pytestmark = pytest.mark.anyio

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
BODY: dict[str, Any] = {"webappId": "1992755951447109633", "nodeInfoList": []}
URL = "https://receiver.invalid/hook"


async def submit(served: Served, token: str = OPERATOR_TOKEN, **members: Any) -> Any:
    return await served.call(token, "POST", "/submit_task", json=BODY | members)


async def ended_task(served: Served, token: str) -> str:
    """A task that waits, since RunningHub is unreachable, and is cancelled."""
    response = await submit(served, token, webhook_url=URL)
    task_id: str = response.json()["task_id"]
    cancelled = await served.call(token, "POST", f"/tasks/{task_id}/cancel")
    assert cancelled.json()["status"] in ("CANCELLED", "SUBMIT_UNKNOWN"), cancelled.text
    return task_id


async def test_a_webhook_url_without_a_secret_is_refused_and_names_the_setting(tmp_path: Path) -> None:
    async with serving_users(tmp_path) as served:
        response = await submit(served, webhook_url=URL)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "invalid_request")
    assert "WEBHOOK_SECRET" in problem["detail"]
    assert problem["errors"] == [{"loc": ["body", "webhook_url"], "msg": problem["detail"]}]


@pytest.mark.parametrize("url", ["ftp://example.com/x", "no address", "https://example.com/#a", ""])
async def test_a_webhook_url_that_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    async with serving_users(tmp_path, webhook_secret=SECRET) as served:
        response = await submit(served, webhook_url=url)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_a_private_webhook_url_is_forbidden(tmp_path: Path) -> None:
    async with serving_users(tmp_path, webhook_secret=SECRET) as served:
        response = await submit(served, webhook_url="http://127.0.0.1:9/hook")
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(("allow_private", "status", "code"), [(False, 403, "forbidden"), (True, 202, None)])
async def test_a_webhook_url_whose_name_resolves_to_a_private_address_is_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allow_private: bool, status: int, code: str | None
) -> None:
    public = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        return public("10.1.2.3" if host == "hooks.example.com" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    options = {"webhook_secret": SECRET, "webhook_allow_private": allow_private}
    async with serving_users(tmp_path, **options) as served:
        alice = await served.create_user("alice")
        responses = [
            await submit(served, token, webhook_url="https://hooks.example.com/x")
            for token in (OPERATOR_TOKEN, alice)
        ]
        stored = (await served.call(OPERATOR_TOKEN, "GET", "/tasks")).json()["tasks"]
    assert [(each.status_code, each.json().get("code")) for each in responses] == [(status, code)] * 2
    assert len(stored) == (2 if allow_private else 0)


async def test_users_see_and_resend_the_deliveries_of_their_own_tasks_alone(tmp_path: Path) -> None:
    async with serving_users(tmp_path, webhook_secret=SECRET) as served:
        alice, bob = await served.create_user("alice"), await served.create_user("bob")
        path = f"/tasks/{await ended_task(served, alice)}/deliveries"

        (delivery,) = (await served.call(alice, "GET", path)).json()["deliveries"]
        assert delivery["url"] == URL
        assert delivery["type"] in ("task.cancelled", "task.unknown")
        resent = await served.call(alice, "POST", f"{path}/{delivery['id']}/redeliver")
        assert (resent.status_code, resent.json()["deliveries"][0]["id"]) == (202, delivery["id"])
        unknown = await served.call(alice, "POST", f"{path}/msg_unknown/redeliver")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
        for method, other in (("GET", path), ("POST", f"{path}/{delivery['id']}/redeliver")):
            refused = await served.call(bob, method, other)
            assert (refused.status_code, refused.json()["code"]) == (404, "task_not_found")
