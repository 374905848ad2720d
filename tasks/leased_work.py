"""Runs work that is kept as rows of the database: leased by one worker at a time, and retried until done.

What is due, for how long a lease holds and when a failed item is tried again is stored by the caller: a
killed process loses nothing, since its leases expire and somebody else gets the items.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from errors import DatabaseUnavailable

log = logging.getLogger(__name__)

Item = TypeVar("Item")


class LeasedWork(Generic[Item]):
    """Up to `at_once` items at a time; `run` is the loop that the lifespan owns.

    `lease(limit)` claims up to `limit` due items. `work(item)` does one and stores its outcome: the end, or
    when to try again; where it raises, the item stays leased and comes back when the lease expires.
    `renew(items)` extends the leases of what is in progress, every `renew_s`; work that never lasts longer
    than a lease needs none.
    """

    def __init__(
        self,
        name: str,
        *,
        lease: Callable[[int], Awaitable[Sequence[Item]]],
        work: Callable[[Item], Awaitable[None]],
        at_once: int,
        interval_s: float,
        renew: Callable[[Sequence[Item]], Awaitable[None]] | None = None,
        renew_s: float = 0.0,
    ) -> None:
        self._name = name
        self._lease = lease
        self._work = work
        self._renew = renew
        self._at_once = at_once
        self._interval_s = interval_s
        self._renew_s = renew_s
        self._next_renewal = 0.0
        self._in_progress: dict[asyncio.Task[None], Item] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Lease what is due now, without waiting for the interval's end."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled; then what is in progress is cancelled, and has ended when this returns."""
        try:
            while True:
                await self._tick()
                await self._wait()
        finally:
            for working in self._in_progress:
                working.cancel()
            await asyncio.gather(*self._in_progress, return_exceptions=True)

    async def _tick(self) -> None:
        try:
            await self._renew_leases()
            await self._start_due()
        except DatabaseUnavailable:
            pass  # logged where it was met, once a minute
        except Exception:  # the loop has to survive whatever one round met: the next round tries again
            log.exception("%s: a round failed", self._name)

    async def _renew_leases(self) -> None:
        if self._renew and self._in_progress and time.monotonic() >= self._next_renewal:
            self._next_renewal = time.monotonic() + self._renew_s
            await self._renew(list(self._in_progress.values()))

    async def _start_due(self) -> None:
        free = self._at_once - len(self._in_progress)
        if free <= 0:
            return
        if not self._in_progress:
            self._next_renewal = time.monotonic() + self._renew_s
        for item in await self._lease(free):
            working = asyncio.create_task(self._run_one(item), name=self._name)
            self._in_progress[working] = item
            working.add_done_callback(self._ended)

    async def _run_one(self, item: Item) -> None:
        try:
            await self._work(item)
        except DatabaseUnavailable:
            pass  # logged where it was met; the item comes back when its lease expires
        except Exception:  # one item's fault must not end the others; it comes back when its lease expires
            log.exception("%s: an item failed", self._name)

    def _ended(self, working: asyncio.Task[None]) -> None:
        del self._in_progress[working]
        self.wake()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._interval_s):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()
