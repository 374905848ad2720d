"""The loop that the lifespan owns: ask about tasks that are due, store what is learnt, send what waits."""

import asyncio
import logging
import random
import sqlite3
import time
from dataclasses import dataclass, field

from database import Database
from errors import AppError, DatabaseUnavailable
from models import Task
from task_service import TaskService
from tasks.poll_schedule import MOST_STRETCHED_S, Pace
from tasks.submitter import Submitter

log = logging.getLogger(__name__)

TICK_S = 0.2
SHORT_PAUSE_S = 0.05
PACE_S = 0.5
POLLS_AT_ONCE = 64
# So that requests get their share of the processor, however many tasks are in flight.
POLLS_PER_S = 800
POLLS_PER_S_BESIDE_SUBMITS = 400
# How long a claimed look belongs to its worker: longer than RunningHub may take to answer.
LEASE_MARGIN_S = 15.0
REPAIR_S = 5.0
CIRCUIT_BREAKER_FAILURES = 5
CIRCUIT_BREAKER_FIRST_S = 1.0
CIRCUIT_BREAKER_LONGEST_S = 20.0


@dataclass(slots=True)
class CircuitBreaker:
    """Holds the questions back while RunningHub is broken; after each pause one question is the trial."""

    failures: int = 0
    pause_s: float = 0.0
    open_until: float = 0.0

    def allowance(self, now: float, under_way: int) -> int:
        """How many questions may be started now."""
        if now < self.open_until:
            return 0
        return (1 if self.pause_s else POLLS_AT_ONCE) - under_way

    def succeeded(self) -> None:
        self.failures, self.pause_s, self.open_until = 0, 0.0, 0.0

    def failed(self, now: float) -> None:
        self.failures += 1
        if self.failures >= CIRCUIT_BREAKER_FAILURES and now >= self.open_until:
            self.pause_s = min(CIRCUIT_BREAKER_LONGEST_S, self.pause_s * 2 or CIRCUIT_BREAKER_FIRST_S)
            self.open_until = now + self.pause_s * random.uniform(0.8, 1.2)


@dataclass(slots=True)
class TokenBucket:
    """Lets through so many looks a second on average, and not more at once than a tick's worth."""

    looks: float = 0.0
    counted_at: float = field(default_factory=time.monotonic)

    def count(self, now: float, per_s: float) -> int:
        """How many looks may be started now."""
        self.looks = min(per_s * TICK_S, self.looks + (now - self.counted_at) * per_s)
        self.counted_at = now
        return int(self.looks)


class Poller:
    """A loop over the rows of the database; `wake` starts its next round at once."""

    def __init__(
        self,
        database: Database,
        tasks: TaskService,
        submitter: Submitter,
        pace: Pace,
        *,
        lease_s: float,
        longest_wait_s: float,
    ) -> None:
        self._database = database
        self._tasks = tasks
        self._dispatcher = submitter
        self._lease_ms = int((lease_s + LEASE_MARGIN_S) * 1000)
        self._longest_wait_ms = int(max(longest_wait_s, MOST_STRETCHED_S) * 1000)
        self._pace = pace
        self._circuit_breaker = CircuitBreaker()
        self._allowed = TokenBucket()
        self._polls: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._next_repair = 0.0
        self._next_pace = 0.0
        self.last_tick = time.time()

    def wake(self) -> None:
        """Start the next round now."""
        self._woken.set()

    async def wake_async(self) -> None:
        """`wake` as a background task: a plain function would be run in a thread."""
        self.wake()

    async def run(self) -> None:
        """Go on until cancelled."""
        try:
            while True:
                await self._wait(await self._tick())
        finally:
            for look in self._polls:
                look.cancel()
            await asyncio.gather(*self._polls, return_exceptions=True)

    async def _tick(self) -> float:
        """One round; answers after how many seconds the next one is due."""
        try:
            pause_s = await self._start_polls()
            await self._keep_pace()
            await self._dispatcher.submit_pending()
            await self._repair()
            self.last_tick = time.time()
        except Exception:  # the loop is the service's heart: whatever one round met, the next one comes
            log.exception("a round of the watch failed")
            return TICK_S
        return pause_s

    async def _wait(self, pause_s: float) -> None:
        """Wait for `pause_s`, or until woken; a round costs look-ups, so that they never follow at once."""
        await asyncio.sleep(SHORT_PAUSE_S)
        try:
            async with asyncio.timeout(pause_s - SHORT_PAUSE_S):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def _start_polls(self) -> float:
        """Ask about tasks that are due; answers the seconds until the next one is."""
        now = time.monotonic()
        per_s = POLLS_PER_S_BESIDE_SUBMITS if self._dispatcher.is_busy else POLLS_PER_S
        allowance = min(
            self._circuit_breaker.allowance(now, len(self._polls)), self._allowed.count(now, per_s)
        )
        if allowance <= 0:
            return SHORT_PAUSE_S if self._polls else TICK_S
        leased = await self._database.lease_due(lease_ms=self._lease_ms, limit=allowance)
        self._allowed.looks -= len(leased)
        for task in leased:
            look = asyncio.create_task(self._poll(task), name=f"look {task.id}")
            self._polls.add(look)
            look.add_done_callback(self._polls.discard)
        due_ms = await self._database.next_due_ms()
        due_s = TICK_S if due_ms is None else (due_ms - self._database.clock()) / 1000
        return min(TICK_S, max(SHORT_PAUSE_S, due_s))

    async def _poll(self, task: Task) -> None:
        try:
            await self._tasks.poll(task)
            self._circuit_breaker.succeeded()
        except (DatabaseUnavailable, sqlite3.Error):
            log.exception("an outcome could not be stored; it is asked for again", extra={"task_id": task.id})
        except AppError as problem:
            self._circuit_breaker.failed(time.monotonic())
            log.warning(
                "RunningHub could not be asked",
                extra={"task_id": task.id, "problem": problem.code, "upstream": problem.upstream},
            )
            await self._database.reschedule(
                task.id, await self._tasks.next_poll_ms(task), lost_since_ms=task.lost_since_ms
            )

    async def _keep_pace(self) -> None:
        now = time.monotonic()
        if now >= self._next_pace and not self._circuit_breaker.pause_s:
            self._next_pace = now + PACE_S
            self._pace.adapt(await self._database.most_late_s())

    async def _repair(self) -> None:
        """Now and then: what a died worker, or a clock that stepped back, left behind."""
        if time.monotonic() >= self._next_repair:
            self._next_repair = time.monotonic() + REPAIR_S
            await self._dispatcher.give_up_stale()
            await self._database.pull_due(longest_ms=2 * max(self._lease_ms, self._longest_wait_ms))
