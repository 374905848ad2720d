"""Faults: every kind, how often it happens, and for which calls."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.simulator.calls import counters, poll, run, run_body, start, switch

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("fault", "status", "media_type", "body"),
    [
        ({"kind": "http_500_html"}, 500, "text/html; charset=utf-8", b"500 Internal Server Error"),
        ({"kind": "http_502_html"}, 502, "text/html; charset=utf-8", b"502 Bad Gateway"),
        ({"kind": "http_504_html"}, 504, "text/html; charset=utf-8", b"504 Gateway Timeout"),
        ({"kind": "http_429"}, 429, "text/html; charset=utf-8", b"429 Too Many Requests"),
        ({"kind": "http_401"}, 401, "application/json;charset=UTF-8", b"ApiKey verification failed"),
        ({"kind": "html_200"}, 200, "text/html; charset=utf-8", b"<html>"),
        ({"kind": "invalid_json"}, 200, "application/json;charset=UTF-8", b'"data":{'),
        ({"kind": "empty"}, 200, "application/json;charset=UTF-8", b""),
        ({"kind": "wrong_types"}, 200, "application/json;charset=UTF-8", b'"data": ["1994070439827980290"]'),
        ({"kind": "huge", "megabytes": 2}, 200, "application/json;charset=UTF-8", b"x" * 2 * 1024**2),
        (
            {"kind": "code", "code": 801, "msg": "APIKEY_UNSUPPORTED_FREE_USER"},
            200,
            "application/json;charset=UTF-8",
            b'{"code": 801, "msg": "APIKEY_UNSUPPORTED_FREE_USER", "errorMessages": null, "data": null}',
        ),
    ],
)
async def test_a_faulty_response_starts_nothing_and_happens_as_often_as_set(
    client: httpx.AsyncClient, fault: dict[str, Any], status: int, media_type: str, body: bytes
) -> None:
    await switch(client, faults={"run": {**fault, "times": 1}})
    reply = await client.post("/task/openapi/ai-app/run", json=run_body())
    assert (reply.status_code, reply.headers["content-type"]) == (status, media_type)
    assert body in reply.content
    assert reply.headers["X-RunningHub-Simulator"] == "true"
    counted = await counters(client)
    assert (counted["runs_accepted"], counted["calls"]) == (0, {"run": 1})
    await start(client)


async def test_a_faulty_response_may_hide_that_the_run_was_accepted(client: httpx.AsyncClient) -> None:
    await switch(client, faults={"run": {"kind": "http_504_html", "handled": True}})
    assert (await client.post("/task/openapi/ai-app/run", json=run_body())).status_code == 504
    assert (await counters(client))["runs_accepted"] == 1


async def test_of_several_faults_the_first_that_strikes_happens(client: httpx.AsyncClient) -> None:
    never, broken = {"kind": "empty", "probability": 0}, {"kind": "invalid_json", "times": 1}
    await switch(client, faults={"*": [never, broken, {"kind": "http_429", "times": 1}]})
    url = "/uc/openapi/accountStatus"
    assert [(await client.post(url, json={"apikey": "key"})).status_code for _ in range(3)] == [200, 429, 200]


@pytest.mark.parametrize("kind", ["hang", "slow_bytes"])
async def test_a_slow_response_is_the_real_one(client: httpx.AsyncClient, kind: str) -> None:
    await switch(client, faults={"run": {"kind": kind, "seconds": 0}})
    await start(client)
    await switch(client, faults={"run": {"kind": "hang", "seconds": 0, "handled": False}})
    await start(client)


async def test_in_process_a_lost_reply_is_an_exception_and_a_hanging_call_can_be_given_up(
    client: httpx.AsyncClient,
) -> None:
    await switch(client, faults={"run": {"kind": "lost_reply"}, "outputs": {"kind": "hang"}})
    with pytest.raises(ConnectionResetError):
        await run(client)
    assert (await counters(client))["runs_accepted"] == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(poll(client, "1990000000000000003"), 0.01)
