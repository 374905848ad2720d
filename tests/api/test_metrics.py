"""GET /metrics: read by Prometheus' own parser, with what every metric has."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from errors import DatabaseUnavailable
from metrics import COUNTERS, DELIVERIES, HISTOGRAMS
from tests.conftest import NODE, at_runninghub
from tests.users.service import OPERATOR_TOKEN, Served, serving_users
from transitions import Finished

pytestmark = pytest.mark.anyio

PREFIX = "runninghub_gateway_"
GAUGES = {
    *("info", "tasks", "oldest_waiting_seconds", "unknown_submits", "poll_lag_seconds", "webhooks_pending"),
    *("outputs_pending", "open_streams", "account_tasks", "account_slots", "account_state"),
}

Families = dict[str, Any]


async def scrape(served: Served) -> Families:
    response = await served.call(OPERATOR_TOKEN, "GET", "/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(response.text)}


def values(families: Families, name: str) -> dict[tuple[str, ...], float]:
    """By label values, of the samples with exactly this name."""
    family = families[PREFIX + name.removesuffix("_total").removesuffix("_count")]
    return {
        tuple(sample.labels.values()): sample.value
        for sample in family.samples
        if sample.name == PREFIX + name
    }


async def test_every_metric_has_the_prefix_a_help_text_and_a_kind(tmp_path: Path) -> None:
    async with serving_users(tmp_path) as served:
        families = await scrape(served)
    counters = {PREFIX + counter.name.removesuffix("_total") for counter in COUNTERS}
    histograms = {PREFIX + histogram.name for histogram in HISTOGRAMS}
    assert families.keys() == {PREFIX + name for name in GAUGES} | counters | histograms
    kinds = {name: family.type for name, family in families.items()}
    assert {kinds[name] for name in counters} == {"counter"}
    assert {kinds[name] for name in histograms} == {"histogram"}
    assert all(family.documentation for family in families.values())


async def test_what_happened_is_shown(tmp_path: Path) -> None:
    async with serving_users(tmp_path) as served:
        database = served.services.database
        task = await at_runninghub(database, 2)
        run = Finished("1002", [], 2.0, {"coins": "6"}, {"coins_micros": 6_000_000})
        await database.store(task.id, run)
        database.metrics.count(DELIVERIES, "delivered")
        families = await scrape(served)

    statuses = values(families, "tasks")
    assert (statuses["SUCCESS",], statuses["FAILED",]) == (1, 0)
    ended = {("SUCCESS",): 1, ("FAILED",): 0, ("CANCELLED",): 0}
    assert values(families, "tasks_ended_total") == ended
    assert values(families, "coins_total") == {(task.webapp_id,): 6}
    attempts = {("delivered",): 1, ("to_be_retried",): 0, ("failed",): 0}
    assert values(families, "webhook_attempts_total") == attempts
    assert values(families, "task_run_seconds_count") == {(): 1}
    assert values(families, "submits_unknown_total") == {(): 0}
    assert values(families, "oldest_waiting_seconds") == {(): 0}
    assert values(families, "database_write_seconds_count")[()] > 2
    states = values(families, "account_state")
    assert sum(states.values()) == 1
    assert {account for account, _ in states} == {"default"}


async def test_calls_to_runninghub_are_counted_by_call_and_code(tmp_path: Path) -> None:
    async with serving_users(tmp_path) as served:
        await served.call(OPERATOR_TOKEN, "GET", "/account")
        families = await scrape(served)
    calls = values(families, "upstream_call_seconds_count")
    assert calls["/uc/openapi/accountStatus", "no answer"] >= 1
    buckets = families[PREFIX + "upstream_call_seconds"].samples
    assert any(sample.labels.get("le") == "+Inf" for sample in buckets)


async def test_nothing_that_users_wrote_is_in_it(tmp_path: Path) -> None:
    async with serving_users(tmp_path) as served:
        alice = await served.create_user("alice-the-user")
        nodes = [{**NODE, "fieldValue": "what alice wrote"}]
        body = {"webappId": "1", "metadata": {"note": "what alice wrote"}, "nodeInfoList": nodes}
        response = await served.call(alice, "POST", "/submit_task", json=body)
        assert response.status_code == 202, response.text
        text = (await served.call(OPERATOR_TOKEN, "GET", "/metrics")).text
    for secret in ("alice", "wrote", response.json()["task_id"], OPERATOR_TOKEN):
        assert secret not in text


async def test_a_database_that_does_not_respond_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving_users(tmp_path) as served:

        async def fails(*_: Any) -> Any:
            raise DatabaseUnavailable("locked")

        monkeypatch.setattr(served.services.database.engine, "count", fails)
        response = await served.call(OPERATOR_TOKEN, "GET", "/metrics")
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
