"""Forms kept in memory: one call for many who ask, none for a form that is fresh."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from errors import RunningHubUnavailable
from forms.cache import FormCache
from tests.conftest import WEBAPP_ID, RunningHub, answer, settings_with, until
from webapp_service import WebappService

pytestmark = pytest.mark.anyio

SAMPLE = Path(__file__).parent.parent / "data" / "api-call-demo.json"


@pytest.fixture
def webapps(client: httpx.AsyncClient, runninghub: RunningHub) -> WebappService:
    return WebappService(client, settings_with())


@pytest.fixture
async def forms(webapps: WebappService) -> AsyncIterator[FormCache]:
    forms = FormCache(webapps, ttl_s=300)
    yield forms
    await forms.close()


async def test_a_form_is_asked_for_once_while_it_is_fresh(forms: FormCache, runninghub: RunningHub) -> None:
    first = await forms.give(WEBAPP_ID)
    assert (first["webappId"], first["webappName"]) == (WEBAPP_ID, "An app")
    assert await forms.give(WEBAPP_ID) is first is await forms.cached(WEBAPP_ID)
    assert runninghub.form.call_count == 1


async def test_each_app_has_its_own_form(forms: FormCache, runninghub: RunningHub) -> None:
    assert [(await forms.give(webapp_id))["webappId"] for webapp_id in ("1", "2")] == ["1", "2"]
    assert runninghub.form.call_count == 2


async def test_a_refresh_goes_past_the_memory_and_renews_it(forms: FormCache, runninghub: RunningHub) -> None:
    first = await forms.give(WEBAPP_ID)
    second = await forms.give(WEBAPP_ID, refresh=True)
    assert second is not first
    assert await forms.cached(WEBAPP_ID) is second
    assert runninghub.form.call_count == 2


async def test_a_form_without_time_to_live_is_asked_for_each_time(
    webapps: WebappService, runninghub: RunningHub
) -> None:
    forms = FormCache(webapps, ttl_s=0)
    for _ in range(2):
        await forms.give(WEBAPP_ID)
    assert runninghub.form.call_count == 2


async def test_many_who_ask_at_once_make_one_call(forms: FormCache, runninghub: RunningHub) -> None:
    given = await asyncio.gather(*(forms.give(WEBAPP_ID) for _ in range(50)))
    assert all(form is given[0] for form in given)
    assert runninghub.form.call_count == 1


async def test_a_failure_is_everyones_who_asked_and_is_not_remembered(
    forms: FormCache, runninghub: RunningHub
) -> None:
    runninghub.form.mock(side_effect=[httpx.ConnectError("no"), httpx.Response(200, json=answer(0, {}))])
    failed = await asyncio.gather(*(forms.give(WEBAPP_ID) for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in failed] == [RunningHubUnavailable] * 5
    assert (await forms.give(WEBAPP_ID))["webappId"] == WEBAPP_ID
    assert runninghub.form.call_count == 2


async def test_one_who_goes_away_does_not_end_the_call_for_the_others(
    forms: FormCache, runninghub: RunningHub
) -> None:
    answered = asyncio.Event()

    async def late(_: httpx.Request) -> httpx.Response:
        await answered.wait()
        return httpx.Response(200, json=answer(0, {}))

    runninghub.form.mock(side_effect=late)
    leaver, stayer = (asyncio.create_task(forms.give(WEBAPP_ID)) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    await until(leaver.done)
    answered.set()
    assert (await stayer)["webappId"] == WEBAPP_ID


async def test_the_form_that_a_front_end_saw_last_is_remembered_past_its_time(
    webapps: WebappService, runninghub: RunningHub
) -> None:
    forms = FormCache(webapps, ttl_s=0)
    assert forms.last_given(WEBAPP_ID) is None
    seen = await forms.give(WEBAPP_ID)
    await forms.cached(WEBAPP_ID)
    assert forms.last_given(WEBAPP_ID) is seen


async def test_a_close_ends_the_calls_under_way(webapps: WebappService, runninghub: RunningHub) -> None:
    asked = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    runninghub.form.mock(side_effect=never)
    forms = FormCache(webapps, ttl_s=300)
    asking = asyncio.create_task(forms.give(WEBAPP_ID))
    await asked.wait()
    await forms.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_key_in_runninghubs_own_reply_is_in_no_form(
    forms: FormCache, runninghub: RunningHub
) -> None:
    sample = json.loads(SAMPLE.read_text("utf-8"))
    assert "apiKey" in sample["data"]["curl"]
    runninghub.form.respond(json=sample)
    assert "apiKey" not in json.dumps(await forms.give(WEBAPP_ID))
