"""The forms of apps and workflows, cached in memory; concurrent requests for one form share one call."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cachetools import LRUCache

from errors import AppError
from forms.types import Form

log = logging.getLogger(__name__)

FetchForm = Callable[[str, str], Awaitable[Form]]
"""Obtains the form of a kind (`webapp` or `workflow`) and an id; raises AppError where it cannot."""

# How long a submit waits for a form; after that its values are not validated.
VALIDATION_TIMEOUT_S = 2.0
# For how long a submit does not try again to fetch a form that could not be obtained.
RETRY_AFTER_S = 10.0
RETRY_AFTER_MAX_S = 60.0
# In the units of `_size`, about a kilobyte each: about a thousand ordinary apps.
MAX_CACHE_SIZE = 50_000
EMPTY_FORM_SIZE = 20
CHARS_PER_UNIT = 200
MAX_FAILURES = 1_000

_Key = tuple[str, str]  # "webapp" or "workflow", and the id


@dataclass(frozen=True, slots=True)
class _Cached:
    form: Form
    fetched_at: float


@dataclass(frozen=True, slots=True)
class _Fetch:
    task: asyncio.Task[Form]
    started_at: float


@dataclass(frozen=True, slots=True)
class _Failure:
    retry_at: float
    delay_s: float


class FormCache:
    """Forms by kind and id: `get` for front ends, `cached_or_fetch` and `fetch` for validating a submit.

    A front end's request always tries; a submit waits for a limited time, and not at all after a failure.
    """

    def __init__(
        self, fetch: FetchForm, ttl_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._ttl_s = ttl_s
        self._clock = clock
        self._newest: LRUCache[_Key, _Cached] = LRUCache(MAX_CACHE_SIZE, lambda cached: _size(cached.form))
        self._last_returned: LRUCache[_Key, Form] = LRUCache(MAX_CACHE_SIZE, _size)
        self._failures: LRUCache[_Key, _Failure] = LRUCache(MAX_FAILURES)
        self._fetches: dict[_Key, _Fetch] = {}

    async def get(self, kind: str, form_id: str, *, refresh: bool = False) -> Form:
        """The form for a front end. Raises what the fetching function raises."""
        key = (kind, form_id)
        form = None if refresh else self._fresh(key)
        self._last_returned[key] = form = form or await self._fetched(key)
        return form

    async def cached_or_fetch(
        self, kind: str, form_id: str, *, timeout_s: float = VALIDATION_TIMEOUT_S
    ) -> Form | None:
        """The form to validate a submit against; None where it cannot be obtained in time."""
        return self._fresh((kind, form_id)) or await self.fetch(kind, form_id, timeout_s=timeout_s)

    async def fetch(self, kind: str, form_id: str, *, timeout_s: float = VALIDATION_TIMEOUT_S) -> Form | None:
        """The form as RunningHub has it now; None where it cannot be obtained within `timeout_s`.

        The timeout counts from the start of the shared call, which continues in the background. After a
        failure, no call is made for a while.
        """
        key = (kind, form_id)
        failure = self._failures.get(key)
        if failure and self._clock() < failure.retry_at and key not in self._fetches:
            return None
        shared = self._shared_fetch(key)
        remaining_s = max(0.0, shared.started_at + timeout_s - self._clock())
        done, _ = await asyncio.wait([shared.task], timeout=remaining_s)
        if not done:
            log.info("form not obtained in time", extra={"form": f"{kind} {form_id}"})
            return None
        try:
            return shared.task.result()
        except AppError as problem:
            log.info("form not obtained", extra={"form": f"{kind} {form_id}", "problem": problem.code})
            return None

    def last_returned(self, kind: str, form_id: str) -> Form | None:
        """The form that a front end received last, however old."""
        return self._last_returned.get((kind, form_id))

    def known(self, kind: str, form_id: str) -> Form | None:
        """The newest form, however old; None where it was never fetched or was evicted."""
        cached = self._newest.get((kind, form_id))
        return cached.form if cached else None

    async def close(self) -> None:
        """Cancel the calls in flight."""
        tasks = [fetch.task for fetch in self._fetches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _fresh(self, key: _Key) -> Form | None:
        cached = self._newest.get(key)
        return cached.form if cached and self._clock() - cached.fetched_at < self._ttl_s else None

    async def _fetched(self, key: _Key) -> Form:
        # Shielded: a client that disconnects does not end the call for the others.
        return await asyncio.shield(self._shared_fetch(key).task)

    def _shared_fetch(self, key: _Key) -> _Fetch:
        if not (shared := self._fetches.get(key)):
            task = asyncio.create_task(self._fetch_and_store(key))
            shared = self._fetches[key] = _Fetch(task, self._clock())
            task.add_done_callback(lambda _: self._end_fetch(key, task))
        return shared

    async def _fetch_and_store(self, key: _Key) -> Form:
        try:
            form = await self._fetch(*key)
        except AppError:
            self._store_failure(key)
            raise
        self._failures.pop(key, None)
        self._newest[key] = _Cached(form, self._clock())
        return form

    def _store_failure(self, key: _Key) -> None:
        before = self._failures.get(key)
        delay_s = min(before.delay_s * 2, RETRY_AFTER_MAX_S) if before else RETRY_AFTER_S
        self._failures[key] = _Failure(self._clock() + delay_s, delay_s)

    def _end_fetch(self, key: _Key, task: asyncio.Task[Form]) -> None:
        self._fetches.pop(key, None)
        # Reading the exception marks it as retrieved: a submit that no longer waits does not retrieve it.
        exc = None if task.cancelled() else task.exception()
        if exc and not isinstance(exc, AppError):
            log.error("form could not be built", exc_info=exc)


def _size(form: Form) -> int:
    """The memory that a form takes, in units of about one kilobyte."""
    fields = form["nodeInfoList"]
    choices = sum(len(field["input"]["options"] or ()) for field in fields)
    chars = sum(len(field["fieldValue"]) + len(field["description"] or "") for field in fields)
    return EMPTY_FORM_SIZE + len(fields) + choices + chars // CHARS_PER_UNIT
