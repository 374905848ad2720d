"""Follows running tasks at RunningHub's WebSocket and stores how far they are, where PROGRESS is on."""

import asyncio
import logging
from contextlib import aclosing

from database import Database
from errors import DatabaseUnavailable
from models import Task, TaskProgress, TaskStatus, rfc3339
from runninghub.progress_stream import ProgressStreams, StreamFailed, allowed_stream

log = logging.getLogger(__name__)

# The oldest are followed; a task beyond them has no progress until a later poll finds a place.
MAX_STREAMS = 200
# One write for all tasks, so that progress costs no more than one write in this time.
STORE_INTERVAL_S = 0.5
# After so long without a step, nobody is taken to follow a task: its worker was stopped, or its stream broke.
QUIET_MS = 30_000


class ProgressFollower:
    """`run` is the loop that the lifespan owns. Whatever becomes of a stream, the task stays as it is."""

    def __init__(
        self, database: Database, streams: ProgressStreams, *, max_streams: int = MAX_STREAMS
    ) -> None:
        self._database = database
        self._streams = streams
        self._max_streams = max_streams
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._not_stored: dict[str, TaskProgress] = {}
        self._has_steps = asyncio.Event()

    def follow(self, task: Task, url: str | None, base_url: str) -> None:
        """Follow a running task from now on, unless somebody does or there are too many.

        `url` is the `netWssUrl` that RunningHub returned for it to the account at `base_url`.
        """
        allowed = allowed_stream(url, base_url)
        if allowed is None or task.status is not TaskStatus.RUNNING or task.id in self._followed:
            return
        if len(self._followed) >= self._max_streams or self._is_followed_elsewhere(task):
            return
        following = asyncio.create_task(self._follow(task.id, allowed), name=f"progress {task.id}")
        self._followed[task.id] = following
        following.add_done_callback(lambda done: self._forget(task.id, done))

    def _is_followed_elsewhere(self, task: Task) -> bool:
        quiet_since = rfc3339(self._database.clock() - QUIET_MS)
        return task.progress is not None and task.updated_at > quiet_since

    def _forget(self, task_id: str, done: asyncio.Task[None]) -> None:
        if self._followed.get(task_id) is done:
            del self._followed[task_id]

    async def _follow(self, task_id: str, url: str) -> None:
        try:
            async with aclosing(self._streams.steps(url)) as steps:
                async for step in steps:
                    self._not_stored[task_id] = step
                    self._has_steps.set()
        except StreamFailed as exc:
            log.info("a task's progress is not followed: %s", exc, extra={"task_id": task_id})
        except Exception:  # progress is an extra: no fault in it may reach the task
            log.exception("following a task's progress failed", extra={"task_id": task_id})

    def stop(self, task_id: str) -> None:
        """The task has ended."""
        if following := self._followed.get(task_id):
            following.cancel()

    async def run(self) -> None:
        """Until cancelled: store the last step of each task."""
        try:
            while True:
                await self._has_steps.wait()
                self._has_steps.clear()
                await self._store()
                await asyncio.sleep(STORE_INTERVAL_S)
        finally:
            for following in self._followed.values():
                following.cancel()
            await asyncio.gather(*self._followed.values(), return_exceptions=True)

    async def _store(self) -> None:
        steps, self._not_stored = self._not_stored, {}
        try:
            running = await self._database.store_progress(steps)
        except DatabaseUnavailable:  # logged where it was met; the next step is stored again
            return
        for task_id in steps.keys() - running:
            self.stop(task_id)
