"""The loop that the lifespan owns: ask about tasks that are due, store what is learnt, send what waits."""

import asyncio
import logging
import random
import sqlite3
import time
from dataclasses import dataclass, field

from database import Database, Task
from errors import AppError
from task_service import TaskService
from tasks.poll_schedule import MOST_STRETCHED_S, Pace
from tasks.submitter import Dispatcher

log = logging.getLogger(__name__)

TICK_S = 0.2
SHORT_PAUSE_S = 0.05
PACE_S = 0.5
LOOKS_AT_ONCE = 64
# So that requests get their share of the processor, however many tasks are in flight.
LOOKS_PER_S = 800
LOOKS_PER_S_BESIDE_SUBMITS = 400
# How long a claimed look belongs to its worker: longer than RunningHub may take to answer.
LEASE_MARGIN_S = 15.0
REPAIR_S = 5.0
BREAKER_FAILURES = 5
BREAKER_FIRST_S = 1.0
BREAKER_LONGEST_S = 20.0


@dataclass(slots=True)
class Breaker:
    """Holds the questions back while RunningHub is broken; after each pause one question is the trial."""

    failures: int = 0
    pause_s: float = 0.0
    open_until: float = 0.0

    def allowance(self, now: float, under_way: int) -> int:
        """How many questions may be started now."""
        if now < self.open_until:
            return 0
        return (1 if self.pause_s else LOOKS_AT_ONCE) - under_way

    def succeeded(self) -> None:
        self.failures, self.pause_s, self.open_until = 0, 0.0, 0.0

    def failed(self, now: float) -> None:
        self.failures += 1
        if self.failures >= BREAKER_FAILURES and now >= self.open_until:
            self.pause_s = min(BREAKER_LONGEST_S, self.pause_s * 2 or BREAKER_FIRST_S)
            self.open_until = now + self.pause_s * random.uniform(0.8, 1.2)


@dataclass(slots=True)
class Allowance:
    """Lets through so many looks a second on average, and not more at once than a tick's worth."""

    looks: float = 0.0
    counted_at: float = field(default_factory=time.monotonic)

    def count(self, now: float, per_s: float) -> int:
        """How many looks may be started now."""
        self.looks = min(per_s * TICK_S, self.looks + (now - self.counted_at) * per_s)
        self.counted_at = now
        return int(self.looks)


class Watcher:
    """A loop over the rows of the database; `wake` starts its next round at once."""

    def __init__(
        self,
        database: Database,
        tasks: TaskService,
        dispatcher: Dispatcher,
        pace: Pace,
        *,
        lease_s: float,
        longest_wait_s: float,
    ) -> None:
        self._database = database
        self._tasks = tasks
        self._dispatcher = dispatcher
        self._lease_ms = int((lease_s + LEASE_MARGIN_S) * 1000)
        self._longest_wait_ms = int(max(longest_wait_s, MOST_STRETCHED_S) * 1000)
        self._pace = pace
        self._breaker = Breaker()
        self._allowed = Allowance()
        self._looks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._next_repair = 0.0
        self._next_pace = 0.0
        self.last_beat = time.time()

    def wake(self) -> None:
        """Look into the database now."""
        self._woken.set()

    async def hand_over(self) -> None:
        """`wake` as a background task: a plain function would be run in a thread."""
        self.wake()

    async def run(self) -> None:
        """Go on until cancelled."""
        try:
            while True:
                await self._wait(await self._beat())
        finally:
            for look in self._looks:
                look.cancel()
            await asyncio.gather(*self._looks, return_exceptions=True)

    async def _beat(self) -> float:
        """One round; answers after how many seconds the next one is due."""
        try:
            pause_s = await self._start_looks()
            await self._keep_pace()
            await self._dispatcher.dispatch()
            await self._repair()
            self.last_beat = time.time()
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

    async def _start_looks(self) -> float:
        """Ask about tasks that are due; answers the seconds until the next one is."""
        now = time.monotonic()
        per_s = LOOKS_PER_S_BESIDE_SUBMITS if self._dispatcher.is_busy else LOOKS_PER_S
        allowance = min(self._breaker.allowance(now, len(self._looks)), self._allowed.count(now, per_s))
        if allowance <= 0:
            return SHORT_PAUSE_S if self._looks else TICK_S
        leased = await self._database.lease_due(lease_ms=self._lease_ms, limit=allowance)
        self._allowed.looks -= len(leased)
        for task in leased:
            look = asyncio.create_task(self._look(task), name=f"look {task.id}")
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)
        due_ms = await self._database.next_due_ms()
        due_s = TICK_S if due_ms is None else (due_ms - self._database.clock()) / 1000
        return min(TICK_S, max(SHORT_PAUSE_S, due_s))

    async def _look(self, task: Task) -> None:
        try:
            await self._tasks.look(task)
            self._breaker.succeeded()
        except AppError as problem:
            self._breaker.failed(time.monotonic())
            log.warning(
                "RunningHub could not be asked",
                extra={"task_id": task.id, "problem": problem.code, "upstream": problem.upstream},
            )
            await self._database.reschedule(
                task.id, await self._tasks.next_look_ms(task), lost_since_ms=task.lost_since_ms
            )
        except sqlite3.Error:
            log.exception("an outcome could not be stored; it is asked for again", extra={"task_id": task.id})

    async def _keep_pace(self) -> None:
        now = time.monotonic()
        if now >= self._next_pace and not self._breaker.pause_s:
            self._next_pace = now + PACE_S
            self._pace.adapt(await self._database.most_late_s())

    async def _repair(self) -> None:
        """Now and then: what a died worker, or a clock that stepped back, left behind."""
        if time.monotonic() >= self._next_repair:
            self._next_repair = time.monotonic() + REPAIR_S
            await self._dispatcher.give_up_stale()
            await self._database.pull_due(longest_ms=2 * max(self._lease_ms, self._longest_wait_ms))
