"""Keys with their own slots, balance and faults."""

from typing import Any

import httpx
import pytest

from simulator import apps
from tests.simulator.calls import (
    Clock,
    Json,
    account_status,
    counters,
    envelope,
    poll,
    run,
    run_body,
    start,
    switch,
)

pytestmark = pytest.mark.anyio


async def codes_of_runs(client: httpx.AsyncClient, key: str, count: int, **members: Any) -> list[int]:
    return [(await run(client, apiKey=key, **members))["code"] for _ in range(count)]


async def coins(client: httpx.AsyncClient, key: str) -> str:
    return str((await account_status(client, key))["data"]["remainCoins"])


async def test_two_keys_have_slots_of_their_own(client: httpx.AsyncClient) -> None:
    await switch(client, slots=1, accounts={"small": {"slots": 2}, "large": {"slots": 0}})
    assert await codes_of_runs(client, "small", 3) == [0, 0, 421]
    assert await codes_of_runs(client, "large", 5) == [0] * 5
    assert await codes_of_runs(client, "not listed", 2) == [0, 421]
    seen = (await client.get("/simulator/accounts")).json()
    assert seen["small"] == {"slots": 2, "active": 2, "max_active": 2, "coins": "99999", "money": None}
    assert (seen["large"]["slots"], seen["large"]["active"]) == (0, 5)


async def test_a_patch_changes_only_the_members_of_the_accounts_that_it_names(
    client: httpx.AsyncClient,
) -> None:
    await switch(client, run_coins=10, accounts={"a": {"coins": 25, "slots": 9}, "b": {"coins": 5}})
    await start(client, apiKey="a")
    await switch(client, accounts={"a": {"slots": 4}})
    accounts = (await client.get("/simulator/switches")).json()["accounts"]
    assert (accounts["a"]["coins"], accounts["a"]["slots"], accounts["b"]["coins"]) == (15, 4, 5)
    await client.post("/simulator/reset")
    assert (await client.get("/simulator/switches")).json()["accounts"] == {}


@pytest.mark.parametrize(
    ("dialect", "msg"),
    [
        ("414", "TASK_CREATE_FAILED_BY_NOT_ENOUGH_POWER_VALUE"),
        ("416", "TASK_CREATE_FAILED_BY_NOT_ENOUGH_WALLET"),
        ("605", "INSUFFICIENT_BALANCE"),
        ("812", "CORPAPIKEY_INSUFFICIENT_FUNDS"),
    ],
)
async def test_runs_use_up_coins_until_one_is_refused_and_a_top_up_helps(
    client: httpx.AsyncClient, dialect: str, msg: str
) -> None:
    await switch(client, slots=0, run_coins=10, balance_dialect=dialect, accounts={"poor": {"coins": 25}})
    assert await codes_of_runs(client, "poor", 2) == [0, 0]
    assert await coins(client, "poor") == "5"
    assert await run(client, apiKey="poor") == envelope(int(dialect), msg)
    assert (await counters(client))["runs_refused"] == 1
    await switch(client, accounts={"poor": {"coins": 10}})
    assert await codes_of_runs(client, "poor", 2) == [0, int(dialect)]


async def test_one_key_may_be_refused_in_a_dialect_of_its_own(client: httpx.AsyncClient) -> None:
    accounts = {"wallet": {"coins": 0, "balance_dialect": "416"}, "coins": {"coins": 0}}
    await switch(client, accounts=accounts)
    assert await codes_of_runs(client, "wallet", 1) == [416]
    assert await codes_of_runs(client, "coins", 1) == [414]


async def test_a_run_on_a_larger_machine_costs_more_than_one_that_is_affordable(
    client: httpx.AsyncClient,
) -> None:
    await switch(client, run_coins=10, accounts={"key": {"coins": 15}})
    assert await codes_of_runs(client, "key", 1, instanceType="plus") == [414]
    assert await coins(client, "key") == "15"
    assert await codes_of_runs(client, "key", 1) == [0]


async def test_failed_and_cancelled_tasks_are_not_charged_for(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await switch(client, run_coins=10, accounts={"key": {"coins": 100}})
    await start(client, apps.ALWAYS_FAILS)
    cancelled = await start(client)
    assert await coins(client, "key") == "80"
    await poll(client, cancelled, "cancel")
    assert await coins(client, "key") == "90"
    clock.now += 60
    assert await coins(client, "key") == "100"


async def test_a_wallet_pays_where_the_coins_are_not_enough(client: httpx.AsyncClient, clock: Clock) -> None:
    await switch(client, run_coins=50, accounts={"key": {"coins": 50, "money": "0.75", "currency": "USD"}})
    by_coins, by_money = await start(client), await start(client)
    assert (await account_status(client))["data"] == {
        "remainCoins": "0",
        "currentTaskCounts": "2",
        "remainMoney": "0.25",
        "currency": "USD",
        "apiType": "NORMAL",
    }
    assert await codes_of_runs(client, "key", 1) == [414]
    clock.now += 60
    costs = [(await poll(client, task_id))["data"][0] for task_id in (by_coins, by_money)]
    assert [(cost["consumeCoins"], cost["consumeMoney"]) for cost in costs] == [("50", None), (None, "0.500")]


async def test_a_fault_may_hit_one_key_only_in_its_body_its_form_or_its_header(
    client: httpx.AsyncClient,
) -> None:
    refused = {"kind": "code", "code": 802}
    await switch(client, accounts={"bad": {"faults": {"*": refused}}})
    expected = envelope(802, "APIKEY_UNAUTHORIZED")
    assert await run(client, apiKey="bad") == expected
    assert await account_status(client, "bad") == expected
    upload = "/task/openapi/upload"
    response = await client.post(upload, data={"apiKey": "bad"}, files={"file": ("a.png", b"x")})
    assert response.json() == expected
    by_header = await client.post(
        "/task/openapi/ai-app/run", json=run_body(apiKey=None), headers={"Authorization": "Bearer bad"}
    )
    assert by_header.json() == expected
    form = await client.get("/api/webapp/apiCallDemo", params={"apiKey": "bad", "webappId": apps.AUDIO})
    assert form.json() == expected
    assert await codes_of_runs(client, "good", 1) == [0]
    response = await client.post(upload, data={"apiKey": "good"}, files={"file": ("a.png", b"x")})
    assert response.json()["code"] == 0


async def test_paid_and_free_calls_fail_separately(client: httpx.AsyncClient) -> None:
    outage: Json = {"kind": "http_504_html"}
    url, body = "/task/openapi/ai-app/run", run_body()

    async def statuses() -> tuple[int, int]:
        probe = await client.post("/uc/openapi/accountStatus", json={"apikey": "key"})
        return (await client.post(url, json=body)).status_code, probe.status_code

    await switch(client, faults={"paid": outage})
    assert await statuses() == (504, 200)
    await switch(client, faults={"free": outage})
    assert await statuses() == (200, 504)
    await switch(client, faults={"*": outage})
    assert await statuses() == (504, 504)


async def test_only_one_instance_type_may_be_full(client: httpx.AsyncClient) -> None:
    full = {"kind": "code", "code": 415, "instance_types": ["ultra"]}
    await switch(client, faults={"run": full})
    assert await run(client, instanceType="ultra") == envelope(415, "TASK_INSTANCE_MAXED")
    assert await codes_of_runs(client, "key", 1, instanceType="plus") == [0]
    assert await codes_of_runs(client, "key", 1) == [0]


async def test_a_key_is_refused_intermittently(client: httpx.AsyncClient) -> None:
    refused = {"kind": "code", "code": 301, "msg": "user not exist", "times": 2}
    await switch(client, accounts={"key": {"faults": {"run": refused}}})
    assert await run(client) == envelope(301, "user not exist")
    assert await codes_of_runs(client, "key", 2) == [301, 0]
    assert (await client.get("/simulator/switches")).json()["accounts"]["key"]["faults"]["run"]["times"] == 0
