"""The routes of users and usage, and what their tokens and limits do; RunningHub is not needed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.conftest import WEBAPP_ID, at_runninghub
from tests.users.service import OPERATOR_TOKEN, Served, serving_users
from transitions import Finished, RunFailed

pytestmark = pytest.mark.anyio

JWT_SECRET = "a-secret-of-at-least-thirty-two-bytes"
BODY = {"webappId": WEBAPP_ID, "nodeInfoList": []}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving_users(tmp_path, jwt_secret=JWT_SECRET) as served:
        yield served


def made_jwt(name: str) -> str:
    return jwt.encode({"sub": name, "exp": datetime.now(UTC) + timedelta(minutes=1)}, JWT_SECRET, "HS256")


async def code(served: Served, token: str | None, method: str, path: str, **members: Any) -> tuple[int, str]:
    response = await served.call(token, method, path, **members)
    return response.status_code, response.json().get("code", "") if response.content else ""


async def submit(served: Served, token: str, **members: Any) -> tuple[int, str]:
    return await code(served, token, "POST", "/submit_task", json=BODY | members)


# Users


async def test_a_user_is_created_listed_changed_and_deleted(served: Served) -> None:
    body = {"name": "ann@x.org", "limits": {"tasks_per_day": 5}, "webapp_ids": [WEBAPP_ID, 7]}
    created = (await served.call(OPERATOR_TOKEN, "POST", "/users", json=body)).json()
    token = created.pop("token")
    limits = {"max_active_tasks": None, "max_pending_tasks": None, "tasks_per_day": 5.0}
    limits |= {"coins_per_month": None, "calls_per_minute": None}
    assert created == {
        "name": "ann@x.org",
        "created_at": created["created_at"],
        "expires_at": None,
        "limits": limits,
        "webapp_ids": [WEBAPP_ID, "7"],
    }
    assert token.startswith("rhg_")
    assert len(token) == 47
    listed = await served.call(OPERATOR_TOKEN, "GET", "/users")
    assert listed.json() == {"users": [created]}
    assert token not in listed.text
    changes = {"limits": {"tasks_per_day": None, "max_active_tasks": 1}, "webapp_ids": None}
    changed = await served.call(OPERATOR_TOKEN, "PATCH", "/users/ann@x.org", json=changes)
    assert changed.json() == created | {
        "limits": limits | {"tasks_per_day": None, "max_active_tasks": 1.0},
        "webapp_ids": None,
    }
    assert '"max_active_tasks":1,' in changed.text, "a number of tasks has no decimal point"
    assert (await served.call(OPERATOR_TOKEN, "DELETE", "/users/ann@x.org")).status_code == 204
    assert (await served.call(OPERATOR_TOKEN, "GET", "/users")).json() == {"users": []}


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a" * 65, "a\n", None, 7])
async def test_a_name_has_few_kinds_of_characters(served: Served, name: Any) -> None:
    found = await code(served, OPERATOR_TOKEN, "POST", "/users", json={"name": name})
    assert found == (422, "invalid_request")


@pytest.mark.parametrize("expires_at", ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"])
async def test_a_time_that_utc_does_not_have_is_refused(served: Served, expires_at: str) -> None:
    body = {"name": "ann", "expires_at": expires_at}
    assert await code(served, OPERATOR_TOKEN, "POST", "/users", json=body) == (422, "invalid_request")
    assert (await served.call(OPERATOR_TOKEN, "GET", "/users")).json() == {"users": []}


async def test_the_last_moment_of_the_calendar_is_a_time(served: Served) -> None:
    body = {"name": "ann", "expires_at": "9999-12-31T23:59:59.9999999Z"}
    created = await served.call(OPERATOR_TOKEN, "POST", "/users", json=body)
    assert created.json()["expires_at"].startswith("9999-12-31T23:59:59.99")
    assert (await served.call(OPERATOR_TOKEN, "GET", "/users")).status_code == 200


async def test_a_name_is_used_once_and_an_unknown_one_is_not_found(served: Served) -> None:
    await served.create_user("ann")
    again = await code(served, OPERATOR_TOKEN, "POST", "/users", json={"name": "ann"})
    assert again == (409, "user_exists")
    for method, path in (("PATCH", "/users/bob"), ("DELETE", "/users/bob"), ("POST", "/users/bob/token")):
        found = await code(served, OPERATOR_TOKEN, method, path, json={})
        assert found == (404, "user_not_found")


# Tokens


async def test_a_token_is_revoked_at_once_by_a_new_one_and_by_a_deletion(served: Served) -> None:
    first = await served.create_user("ann")
    assert await code(served, first, "GET", "/tasks") == (200, "")
    second = (await served.call(OPERATOR_TOKEN, "POST", "/users/ann/token")).json()["token"]
    assert await code(served, first, "GET", "/tasks") == (401, "unauthorized")
    assert await code(served, second, "GET", "/tasks") == (200, "")
    await served.call(OPERATOR_TOKEN, "DELETE", "/users/ann")
    assert await code(served, second, "GET", "/tasks") == (401, "unauthorized")


async def test_a_token_expires(served: Served) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    token = await served.create_user("ann", expires_at=past)
    assert await code(served, token, "GET", "/tasks") == (401, "unauthorized")
    await served.call(OPERATOR_TOKEN, "PATCH", "/users/ann", json={"expires_at": None})
    assert await code(served, token, "GET", "/tasks") == (200, "")


async def test_a_jwt_and_a_token_of_one_name_are_one_user(served: Served) -> None:
    token = await served.create_user("ann", limits={"tasks_per_day": 2})
    assert await submit(served, token) == (202, "")
    assert await submit(served, made_jwt("ann")) == (202, "")
    assert await submit(served, made_jwt("ann")) == (429, "quota_exceeded")
    for each in (token, made_jwt("ann")):
        tasks = (await served.call(each, "GET", "/tasks")).json()["tasks"]
        assert [task["owner"] for task in tasks] == ["ann", "ann"]
    assert (await served.call(made_jwt("eve"), "GET", "/tasks")).json()["tasks"] == []


async def test_a_jwt_that_is_not_valid_says_why(served: Served) -> None:
    expired = jwt.encode({"sub": "ann", "exp": 1}, JWT_SECRET, "HS256")
    response = await served.call(expired, "GET", "/tasks")
    assert (response.status_code, response.json()["detail"]) == (401, "The JWT has expired.")


async def test_without_token_settings_everybody_is_the_operator_but_a_users_token_is_that_user(
    tmp_path: Path,
) -> None:
    async with serving_users(tmp_path, access_tokens="") as served:
        response = await served.call(None, "POST", "/users", json={"name": "ann"})
        token = response.json()["token"]
        assert await code(served, "anything", "GET", "/users") == (200, "")
        assert await code(served, token, "GET", "/users") == (403, "forbidden")
        assert await code(served, token, "GET", "/tasks") == (200, "")
        await served.call(None, "DELETE", "/users/ann")
        assert await code(served, token, "GET", "/tasks") == (401, "unauthorized")


# Limits


async def test_quotas_of_the_settings_are_for_users_only(tmp_path: Path) -> None:
    async with serving_users(tmp_path, user_max_pending_tasks=1) as served:
        ann, bob = await served.create_user("ann"), await served.create_user("bob")
        assert await submit(served, ann) == (202, "")
        assert await submit(served, ann) == (429, "quota_exceeded")
        assert await submit(served, bob) == (202, "")
        assert [await submit(served, OPERATOR_TOKEN) for _ in range(2)] == [(202, "")] * 2


async def test_a_task_over_the_active_limit_says_what_it_waits_for(served: Served) -> None:
    token = await served.create_user("ann", limits={"max_active_tasks": 1})
    first, second = [(await served.call(token, "POST", "/submit_task", json=BODY)).json() for _ in range(2)]
    task = (await served.call(token, "GET", f"/tasks/{second['task_id']}")).json()
    assert (task["status"], task["waiting"]["code"]) == ("PENDING", "user_limit")
    assert (await served.call(token, "POST", f"/tasks/{first['task_id']}/cancel")).status_code == 200
    task = (await served.call(token, "GET", f"/tasks/{second['task_id']}")).json()
    assert task["waiting"]["code"] != "user_limit"


async def test_a_used_budget_and_another_app_are_refused(served: Served) -> None:
    limits = {"coins_per_month": 2.5}
    token = await served.create_user("ann", limits=limits, webapp_ids=[WEBAPP_ID])
    assert await submit(served, token, webappId="7") == (403, "forbidden")
    assert await code(served, token, "POST", "/get_node_info", json={"webappId": "7"}) == (403, "forbidden")
    assert await submit(served, token) == (202, "")
    await spend(served, 50, "ann", "2.5")
    assert await submit(served, token) == (402, "budget_exceeded")


async def test_calls_per_minute_are_a_users_own(served: Served) -> None:
    ann = await served.create_user("ann", limits={"calls_per_minute": 2})
    bob = await served.create_user("bob")
    assert [await submit(served, ann) for _ in range(3)] == [(202, ""), (202, ""), (429, "rate_limited")]
    assert [await submit(served, bob) for _ in range(3)] == [(202, "")] * 3
    assert await code(served, ann, "GET", "/tasks") == (200, "")


# Usage


async def spend(served: Served, number: int, owner: str | None, coins: str) -> None:
    database = served.services.database
    await at_runninghub(database, number, owner=owner)
    micros: dict[str, int | None] = {"coins_micros": round(float(coins) * 1_000_000)}
    finished = Finished(str(1000 + number), [], 1.25, {"coins": coins}, micros)
    assert await database.store(f"task-{number}", finished)


async def test_usage_is_exact_grouped_and_a_users_own(served: Served) -> None:
    ann = await served.create_user("ann")
    for number in range(1, 4):
        await spend(served, number, "ann", "0.1")
    await spend(served, 4, None, "7")
    await at_runninghub(served.services.database, 5, owner="ann")
    await served.services.database.store("task-5", RunFailed("1005", None))
    none = {"money": "0", "third_party_money": "0"}
    of_ann = {"tasks": 4, "succeeded": 3, "failed": 1, "coins": "0.3", "run_seconds": "3.75", **none}
    of_operator = {"tasks": 1, "succeeded": 1, "failed": 0, "coins": "7", "run_seconds": "1.25", **none}
    total = {"tasks": 5, "succeeded": 4, "failed": 1, "coins": "7.3", "run_seconds": "5", **none}
    everything = await served.call(OPERATOR_TOKEN, "GET", "/usage?group_by=owner")
    usage = [{"owner": None, **of_operator}, {"owner": "ann", **of_ann}]
    assert everything.json() == {"usage": usage, "total": total}
    own = await served.call(ann, "GET", "/usage?group_by=webapp&group_by=day")
    today = datetime.now(UTC).date()
    assert own.json() == {
        "usage": [{"day": str(today), "webapp_id": WEBAPP_ID, **of_ann}],
        "total": of_ann,
    }
    nothing = dict.fromkeys(of_ann, "0") | {"tasks": 0, "succeeded": 0, "failed": 0}
    for query in (
        f"to={today}",
        f"from={today + timedelta(days=1)}",
        "from=2026-01-01&to=2026-01-01",
    ):
        assert (await served.call(ann, "GET", f"/usage?{query}")).json() == {"usage": [], "total": nothing}
    within = f"from={today}&to={today + timedelta(days=1)}T00:00:00.000Z"
    assert (await served.call(ann, "GET", f"/usage?{within}")).json()["total"] == of_ann


@pytest.mark.parametrize(
    "query", ["from=yesterday", "to=2026-13-01", "from=2026-01-01T00:00", "group_by=hour"]
)
async def test_a_period_or_group_that_is_none_is_invalid(served: Served, query: str) -> None:
    assert await code(served, OPERATOR_TOKEN, "GET", f"/usage?{query}") == (422, "invalid_request")
