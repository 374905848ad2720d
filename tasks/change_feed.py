"""Tells waiting requests that a task has changed, whichever worker changed it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from database import Database
from errors import DatabaseUnavailable
from models import Task

# Another worker's change is seen within this time; our own wakes the loop at once.
POLL_S = 0.5
# Between two reads of the database, so that a thousand streams cost no more than one query each time.
PAUSE_S = 0.05
# So many of those who wait are woken at a time, with a pause after them for other requests.
WOKEN_AT_ONCE = 20
WAKING_PAUSE_S = 0.005
# How often a waiting task's place in the queue is read.
QUEUE_POLL_S = 2.0


class ChangeFeed:
    """Who waits for which task. One loop reads the versions of all watched tasks in one query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watched: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._versions: dict[str, int] = {}
        self._closed = False
        self.open_streams = 0

    @asynccontextmanager
    async def watch(self, task_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set at every change of the task, and when the service stops; clear it yourself."""
        event = asyncio.Event()
        self._watched[task_id].add(event)
        try:
            yield event
        finally:
            self._watched[task_id].discard(event)
            if not self._watched[task_id]:
                del self._watched[task_id]
                self._versions.pop(task_id, None)

    async def next_status(self, task: Task, *, timeout_s: float) -> Task:
        """The task as soon as it has another status, or as it is after `timeout_s`."""
        latest = task
        async with self.watch(task.id) as changed:
            try:
                async with asyncio.timeout(timeout_s):
                    while not (task.status.is_final or self._closed):
                        latest = await self._database.task(task.id) or task
                        if latest.status is not task.status:
                            break
                        await changed.wait()
                        changed.clear()
            except TimeoutError:
                pass
        return latest

    async def final(self, task: Task, *, timeout_s: float) -> Task:
        """The task when it is final, or as it is after `timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not (task.status.is_final or self._closed) and (remaining_s := deadline - loop.time()) > 0:
            task = await self.next_status(task, timeout_s=remaining_s)
        return task

    async def follow(self, task_id: str, *, seen_version: int | None) -> AsyncIterator[Task]:
        """The task now (unless it is at `seen_version`) and at every change, until it is final.

        A waiting task also counts as changed when it moves up in the queue. Ends early when the service
        stops.
        """
        seen: tuple[int | None, int | None] = (seen_version, None)
        async with self._counted(), self.watch(task_id) as changed:
            while task := await self._database.task(task_id):
                now = (task.version, task.queue_position)
                if task.status.is_final or (now != seen and now != (seen_version, None)):
                    yield task
                seen = now
                if task.status.is_final or self._closed:
                    return
                await _set_or_timeout(changed, QUEUE_POLL_S if task.queue_position else None)
                changed.clear()  # before the next read: what changes while that is under way counts

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self.open_streams += 1
        try:
            yield
        finally:
            self.open_streams -= 1

    @property
    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Wake all who wait, for good."""
        self._closed = True
        for events in self._watched.values():
            for event in events:
                event.set()

    async def run(self) -> None:
        """Compare versions after every commit of ours, and twice a second for those of others."""
        while not self._closed:
            await self._database.engine.wait_for_commit(POLL_S)
            if self._watched:
                with suppress(DatabaseUnavailable):  # logged where it was met; they are read again
                    await self._notify()
                await asyncio.sleep(PAUSE_S)

    async def _notify(self) -> None:
        changed: list[asyncio.Event] = []
        for task_id, version in (await self._database.versions(self._watched)).items():
            if self._versions.get(task_id) != version:
                self._versions[task_id] = version
                changed += self._watched.get(task_id, ())
        for place, event in enumerate(changed, 1):
            event.set()
            if place % WOKEN_AT_ONCE == 0:
                await asyncio.sleep(WAKING_PAUSE_S)


async def _set_or_timeout(event: asyncio.Event, timeout_s: float | None) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
