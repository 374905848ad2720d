"""Every way in which RunningHub responds to the paid call can be forced, with the run started or not."""

from typing import Any

import httpx
import pytest

from simulator import codes
from tests.simulator.calls import counters, run_body, start, switch

pytestmark = pytest.mark.anyio
RUN = "/task/openapi/ai-app/run"
FULL = (415, 421, 814, 1003, 1520)
NO_BALANCE = (414, 416, 605, 812)
KEY_REFUSED = (401, -1, 801, 802, 806, 811, 1002, 1014)
UNKNOWN = (500, 1000, 1005, 1010, 1011, 1012)
TASK_ERRORS = (1, 301, 380, 433, 435, 436, 803, 810, 901, 1101, 98765)


async def force(client: httpx.AsyncClient, **fault: Any) -> httpx.Response:
    await switch(client, faults={"run": fault})
    return await client.post(RUN, json=run_body())


@pytest.mark.parametrize("code", [*FULL, *NO_BALANCE, *KEY_REFUSED, *UNKNOWN, *TASK_ERRORS])
@pytest.mark.parametrize("handled", [False, True])
async def test_every_code_can_be_forced(client: httpx.AsyncClient, code: int, handled: bool) -> None:
    response = await force(client, kind="code", code=code, handled=handled)
    body = response.json()
    assert (response.status_code, body["code"], body["msg"]) == (200, code, codes.message(code))
    assert (await counters(client))["runs_accepted"] == int(handled)


@pytest.mark.parametrize("status", [302, 307, 401, 403, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("handled", [False, True])
async def test_every_http_status_can_be_forced(client: httpx.AsyncClient, status: int, handled: bool) -> None:
    response = await force(client, kind="http", status=status, handled=handled)
    assert (response.status_code, response.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert ("location" in response.headers) == (status < 400)
    assert (await counters(client))["runs_accepted"] == int(handled)


@pytest.mark.parametrize("handled", [False, True])
async def test_a_response_may_lack_the_task_id(client: httpx.AsyncClient, handled: bool) -> None:
    body = (await force(client, kind="no_task_id", handled=handled)).json()
    assert (body["code"], body["msg"], body["data"]["taskId"]) == (0, "success", None)
    assert (await counters(client))["runs_accepted"] == int(handled)


@pytest.mark.parametrize(("handled", "accepted"), [(None, 1), (True, 1), (False, 0)])
async def test_a_response_may_be_cut_off(
    client: httpx.AsyncClient, handled: bool | None, accepted: int
) -> None:
    with pytest.raises(ConnectionResetError):
        await force(client, kind="truncated", handled=handled)
    assert (await counters(client))["runs_accepted"] == accepted


async def test_one_response_may_be_late_and_the_next_in_time(client: httpx.AsyncClient) -> None:
    response = await force(client, kind="hang", seconds=0.05, times=1)
    assert response.elapsed.total_seconds() >= 0.05
    assert response.json()["code"] == 0
    await start(client)
    assert (await counters(client))["runs_accepted"] == 2
