"""The loop that the lifespan owns: poll tasks that are due, store what is learnt, submit what waits."""

import asyncio
import logging
import random
import time
from collections import Counter, defaultdict

from database import Database
from errors import AppError, DatabaseUnavailable
from models import Task
from task_service import TaskService
from tasks.circuit_breaker import CircuitBreaker, TokenBucket
from tasks.poll_schedule import PollSchedule
from tasks.submitter import Submitter

log = logging.getLogger(__name__)

TICK_S = 0.2
SHORT_PAUSE_S = 0.05
ADAPT_EVERY_S = 0.5
POLLS_AT_ONCE = 64
# So that requests get their share of the processor, however many tasks are in flight.
POLLS_PER_S = 800
POLLS_PER_S_BESIDE_SUBMITS = 400
# How long a leased poll belongs to its worker: longer than RunningHub may take to respond.
LEASE_MARGIN_S = 15.0
REPAIR_S = 5.0
WORKER_SEEN_S = 2.0
DEADLINES_PER_TICK = 100


class Poller:
    """A loop over the rows of the database; `wake` starts its next round at once."""

    def __init__(
        self,
        database: Database,
        tasks: TaskService,
        submitter: Submitter,
        schedule: PollSchedule,
        *,
        lease_s: float,
    ) -> None:
        self._database = database
        self._tasks = tasks
        self._submitter = submitter
        self._schedule = schedule
        self._lease_ms = int((lease_s + LEASE_MARGIN_S) * 1000)
        self._circuit_breakers: defaultdict[str, CircuitBreaker] = defaultdict(CircuitBreaker)
        self._bucket = TokenBucket(TICK_S)
        self._polls: dict[asyncio.Task[None], str] = {}
        self._woken = asyncio.Event()
        self._next_repair = 0.0
        self._next_adapt = 0.0
        self._next_seen = 0.0
        self.last_tick = time.time()

    def wake(self) -> None:
        """Start the next round now."""
        self._woken.set()

    async def wake_async(self) -> None:
        """`wake` as a background task: a plain function would be run in a thread."""
        self.wake()

    async def run(self) -> None:
        """Continue until cancelled."""
        try:
            while True:
                await self._wait(await self._tick())
        finally:
            for poll in self._polls:
                poll.cancel()
            await asyncio.gather(*self._polls, return_exceptions=True)

    async def _tick(self) -> float:
        """One round; returns after how many seconds the next one is due."""
        try:
            await self._tasks.cancel_past_deadline(limit=DEADLINES_PER_TICK)
            pause_s = await self._start_polls()
            await self._adapt()
            await self._submitter.submit_pending()
            await self._repair()
            self.last_tick = time.time()
        except DatabaseUnavailable:  # logged where it was met, once a minute
            return TICK_S
        except Exception:  # whatever one round met, the next one has to come: all tasks depend on this loop
            log.exception("a round of the poller failed")
            return TICK_S
        return pause_s

    async def _wait(self, pause_s: float) -> None:
        """Wait for `pause_s`, or until woken; a round costs lookups, so that they never follow at once."""
        await asyncio.sleep(SHORT_PAUSE_S)
        try:
            async with asyncio.timeout(pause_s - SHORT_PAUSE_S):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def _start_polls(self) -> float:
        """Poll tasks that are due; returns the seconds until the next one is."""
        now = time.monotonic()
        per_s = POLLS_PER_S_BESIDE_SUBMITS if self._submitter.is_busy else POLLS_PER_S
        limit = min(POLLS_AT_ONCE - len(self._polls), self._bucket.fill(now, per_s))
        if limit <= 0:
            return SHORT_PAUSE_S if self._polls else TICK_S
        leased = await self._lease(limit, now)
        self._bucket.take(len(leased))
        for task in leased:
            poll = asyncio.create_task(self._poll(task), name=f"poll {task.id}")
            self._polls[poll] = task.account or ""
            poll.add_done_callback(lambda poll: self._polls.pop(poll, None))
        due_ms = await self._database.next_due_ms()
        due_s = TICK_S if due_ms is None else (due_ms - self._database.clock()) / 1000
        return min(TICK_S, max(SHORT_PAUSE_S, due_s))

    async def _lease(self, limit: int, now: float) -> list[Task]:
        """Due tasks of the accounts whose polls succeed, and one as the trial of each that is paused."""
        paused = [account for account, breaker in self._circuit_breakers.items() if breaker.pause_s]
        leased = await self._database.lease_due(lease_ms=self._lease_ms, limit=limit, without=paused)
        in_flight = Counter(self._polls.values())
        for account in paused:
            if self._circuit_breakers[account].allows(now, in_flight[account]):
                leased += await self._database.lease_due(lease_ms=self._lease_ms, limit=1, only=account)
        return leased

    async def _poll(self, task: Task) -> None:
        breaker = self._circuit_breakers[task.account or ""]
        try:
            await self._tasks.poll(task)
            breaker.succeeded()
        except DatabaseUnavailable:
            log.warning(
                "a poll's outcome could not be stored; it is polled again", extra={"task_id": task.id}
            )
        except AppError as problem:
            breaker.failed(time.monotonic())
            log.warning(
                "RunningHub could not be polled",
                extra={"task_id": task.id, "problem": problem.code, "upstream": problem.upstream},
            )
            await self._database.reschedule(task, await self._schedule.next_poll_ms(task))
        except Exception:  # one task's fault must not stop the others'
            log.exception("polling a task failed", extra={"task_id": task.id})

    async def _adapt(self) -> None:
        now = time.monotonic()
        is_paused = any(breaker.pause_s for breaker in self._circuit_breakers.values())
        if now >= self._next_adapt and not is_paused:
            self._next_adapt = now + ADAPT_EVERY_S
            self._schedule.adapt(await self._database.poll_lag_s())

    async def _repair(self) -> None:
        """Now and then: what a killed worker, or a clock that stepped back, left behind."""
        now = time.monotonic()
        if now >= self._next_seen and self._submitter.in_flight:
            self._next_seen = now + WORKER_SEEN_S
            await self._database.worker_seen()
        if now >= self._next_repair:
            self._next_repair = now + REPAIR_S * random.uniform(0.9, 1.1)
            await self._submitter.give_up_stale()
            await self._database.users.release_all()
            await self._tasks.cancel_stray_runs(lease_ms=self._lease_ms, limit=POLLS_AT_ONCE)
            await self._database.pull_due(longest_ms=2 * max(self._lease_ms, self._schedule.longest_ms))
