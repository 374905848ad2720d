"""Forms cached in memory: one call for concurrent requests, none for a fresh form, few after a failure."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from errors import RunningHubUnavailable, WebappNotFound
from forms.builder import MAX_FIELDS, MAX_FORM_CHOICES, webapp_form, workflow_form
from forms.cache import EMPTY_FORM_SIZE, MAX_CACHE_SIZE, FormCache
from forms.types import Form
from tests.conftest import until

pytestmark = pytest.mark.anyio

APP = ("webapp", "1")


class Upstream:
    """Builds a new form for every call, or fails; `is_slow` holds every call until `respond`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.problem: Exception | None = None
        self.is_slow = False
        self._responded = asyncio.Event()

    async def fetch(self, kind: str, form_id: str) -> Form:
        self.calls.append((kind, form_id))
        if self.is_slow:
            await self._responded.wait()
        if self.problem:
            raise self.problem
        return workflow_form(form_id, {}) if kind == "workflow" else webapp_form(form_id, {})

    def respond(self) -> None:
        self._responded.set()


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def forms(upstream: Upstream, clock: Clock) -> AsyncIterator[FormCache]:
    forms = FormCache(upstream.fetch, ttl_s=300, clock=clock)
    yield forms
    await forms.close()


async def test_a_form_is_fetched_once_while_it_is_fresh(
    forms: FormCache, upstream: Upstream, clock: Clock
) -> None:
    first = await forms.get(*APP)
    clock.advance(299)
    assert await forms.get(*APP) is first is await forms.cached_or_fetch(*APP)
    clock.advance(1)
    assert await forms.cached_or_fetch(*APP) is not first
    assert upstream.calls == [APP, APP]


async def test_an_app_and_a_workflow_with_the_same_id_have_forms_of_their_own(
    forms: FormCache, upstream: Upstream
) -> None:
    app, workflow, other = [
        await forms.get(kind, form_id)
        for kind, form_id in (("webapp", "1"), ("workflow", "1"), ("webapp", "2"))
    ]
    assert (app.get("webappId"), workflow.get("workflowId"), other.get("webappId")) == ("1", "1", "2")
    assert len(upstream.calls) == 3


async def test_a_refresh_replaces_the_cached_form(forms: FormCache, upstream: Upstream) -> None:
    first = await forms.get(*APP)
    second = await forms.get(*APP, refresh=True)
    assert second is not first
    assert await forms.cached_or_fetch(*APP) is second
    assert upstream.calls == [APP, APP]


async def test_without_a_time_to_live_a_form_is_fetched_each_time(upstream: Upstream) -> None:
    forms = FormCache(upstream.fetch, ttl_s=0)
    for _ in range(2):
        await forms.get(*APP)
    assert upstream.calls == [APP, APP]


async def test_concurrent_requests_share_one_call(forms: FormCache, upstream: Upstream) -> None:
    returned = await asyncio.gather(
        *(forms.get(*APP, refresh=True) for _ in range(25)),
        *(forms.cached_or_fetch(*APP) for _ in range(25)),
    )
    assert all(form is returned[0] for form in returned)
    assert upstream.calls == [APP]


async def test_a_failure_reaches_everyone_who_shares_the_call(forms: FormCache, upstream: Upstream) -> None:
    upstream.problem = RunningHubUnavailable("down")
    failed = await asyncio.gather(*(forms.get(*APP) for _ in range(5)), return_exceptions=True)
    assert failed == [upstream.problem] * 5
    assert upstream.calls == [APP]


@pytest.mark.parametrize("problem", [RunningHubUnavailable("down"), WebappNotFound("unknown")])
async def test_after_a_failure_submits_make_no_call_for_ten_seconds_growing_to_a_minute(
    forms: FormCache, upstream: Upstream, clock: Clock, problem: Exception
) -> None:
    upstream.problem = problem
    for pause_s in (10, 20, 40, 60, 60):
        upstream.calls.clear()
        assert [await forms.cached_or_fetch(*APP) for _ in range(3)] == [None] * 3
        clock.advance(pause_s - 0.5)
        assert (await forms.cached_or_fetch(*APP), await forms.fetch(*APP)) == (None, None)
        assert upstream.calls == [APP]
        clock.advance(0.5)


async def test_a_failure_of_one_app_does_not_concern_another(forms: FormCache, upstream: Upstream) -> None:
    upstream.problem = RunningHubUnavailable("down")
    await forms.cached_or_fetch(*APP)
    upstream.problem = None
    assert await forms.cached_or_fetch("webapp", "2")
    assert await forms.cached_or_fetch("workflow", "1")


@pytest.mark.parametrize("refresh", [False, True])
async def test_a_front_end_tries_after_a_failure_and_its_success_ends_the_pause(
    forms: FormCache, upstream: Upstream, refresh: bool
) -> None:
    upstream.problem = RunningHubUnavailable("down")
    assert await forms.cached_or_fetch(*APP) is None
    with pytest.raises(RunningHubUnavailable):
        await forms.get(*APP, refresh=refresh)
    upstream.problem = None
    form = await forms.get(*APP, refresh=refresh)
    assert await forms.cached_or_fetch(*APP) is form
    assert len(upstream.calls) == 3

    newer = await forms.fetch(*APP)
    assert newer is not None
    assert newer is not form


async def test_a_pause_starts_at_ten_seconds_again_after_a_success(
    forms: FormCache, upstream: Upstream, clock: Clock
) -> None:
    upstream.problem = RunningHubUnavailable("down")
    for pause_s in (10, 20):
        await forms.fetch(*APP)
        clock.advance(pause_s)
    upstream.problem = None
    assert await forms.fetch(*APP)
    upstream.problem = RunningHubUnavailable("down")
    await forms.fetch(*APP)
    clock.advance(10)
    upstream.calls.clear()
    await forms.fetch(*APP)
    assert upstream.calls == [APP]


async def test_a_slow_fetch_is_not_waited_for_beyond_the_timeout_and_continues(
    forms: FormCache, upstream: Upstream
) -> None:
    upstream.is_slow = True
    assert await forms.cached_or_fetch(*APP, timeout_s=0.01) is None
    upstream.respond()
    await until(lambda: forms.known(*APP) is not None)
    assert await forms.cached_or_fetch(*APP) is forms.known(*APP)
    assert upstream.calls == [APP]


async def test_the_timeout_counts_from_the_start_of_the_shared_call(
    forms: FormCache, upstream: Upstream, clock: Clock
) -> None:
    upstream.is_slow = True
    first = asyncio.create_task(forms.get(*APP))
    await until(lambda: upstream.calls == [APP])
    clock.advance(3600)  # so that waiting for an hour from now would be the only other way to pass
    assert await forms.cached_or_fetch(*APP, timeout_s=3600) is None
    upstream.respond()
    await first


async def test_a_slow_fetch_that_fails_in_the_background_pauses_the_next_submits(
    forms: FormCache, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.is_slow, upstream.problem = True, RunningHubUnavailable("down")
    assert await forms.cached_or_fetch(*APP, timeout_s=0.01) is None
    upstream.respond()
    with pytest.raises(RunningHubUnavailable):
        await forms.get(*APP)
    assert await forms.cached_or_fetch(*APP) is None
    assert upstream.calls == [APP]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_an_error_of_our_own_in_the_background_is_logged(
    forms: FormCache, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.is_slow, upstream.problem = True, ZeroDivisionError()
    assert await forms.cached_or_fetch(*APP, timeout_s=0.01) is None
    upstream.respond()
    await until(lambda: "form could not be built" in caplog.messages)


async def test_a_client_that_disconnects_does_not_end_the_call_for_the_others(
    forms: FormCache, upstream: Upstream
) -> None:
    upstream.is_slow = True
    leaver, stayer = (asyncio.create_task(forms.get(*APP)) for _ in range(2))
    submit = asyncio.create_task(forms.cached_or_fetch(*APP, timeout_s=60))
    await until(lambda: upstream.calls == [APP])
    leaver.cancel()
    await until(leaver.done)
    upstream.respond()
    assert await stayer is await submit is forms.known(*APP)


async def test_the_form_that_a_front_end_received_last_is_remembered_past_its_time(
    upstream: Upstream,
) -> None:
    forms = FormCache(upstream.fetch, ttl_s=0)
    assert forms.last_returned(*APP) is None
    received = await forms.get(*APP)
    newer = await forms.cached_or_fetch(*APP)
    assert forms.last_returned(*APP) is received is not newer


async def test_the_newest_form_is_known_however_old(forms: FormCache, clock: Clock) -> None:
    assert forms.known(*APP) is None
    form = await forms.cached_or_fetch(*APP)
    clock.advance(1e6)
    assert forms.known(*APP) is form


async def test_the_least_recently_used_forms_are_evicted(forms: FormCache) -> None:
    for number in range(MAX_CACHE_SIZE // 10):
        await forms.cached_or_fetch("webapp", str(number))
        assert forms.known("webapp", "0")
    kept = [number for number in range(MAX_CACHE_SIZE // 10) if forms.known("webapp", str(number))]
    assert len(kept) == MAX_CACHE_SIZE // EMPTY_FORM_SIZE
    assert kept[0] == 0
    assert kept[1:] == list(range(kept[1], MAX_CACHE_SIZE // 10))


async def test_forms_of_the_largest_size_are_cached(clock: Clock) -> None:
    choices = [[str(number) for number in range(1_000)]]
    node = {"fieldName": "field", "fieldType": "LIST", "fieldValue": "x" * 200, "fieldData": choices}
    nodes = [{"nodeId": str(number), **node} for number in range(MAX_FIELDS)]

    async def fetch(_: str, form_id: str) -> Form:
        return webapp_form(form_id, {"nodeInfoList": nodes})

    forms = FormCache(fetch, ttl_s=300, clock=clock)
    form = await forms.get(*APP)
    assert sum(len(field["input"]["options"] or []) for field in form["nodeInfoList"]) == MAX_FORM_CHOICES
    assert await forms.cached_or_fetch(*APP) is form


async def test_a_close_cancels_the_calls_in_flight(forms: FormCache, upstream: Upstream) -> None:
    upstream.is_slow = True
    waiting = asyncio.create_task(forms.get(*APP))
    await until(lambda: upstream.calls == [APP])
    await forms.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
