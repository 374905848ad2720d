"""How long each app usually runs, from its latest tasks in the database."""

from collections.abc import Sequence
from typing import Protocol

from cachetools import LRUCache, TTLCache

from models import Task

LATEST = 20
KNOWN_FOR_S = 10.0
APPS = 2_000
# An app's first tasks have told how long it runs when so many times the longest run has passed.
LEARNING_TIMES = 2


class RunTimesStore(Protocol):
    """What is needed of the database."""

    def clock(self) -> int: ...
    async def run_times(self, target: str, *, limit: int) -> list[float]: ...


class RunTimes:
    """The run times of an app's latest successful tasks, in seconds; read at most every `KNOWN_FOR_S`."""

    def __init__(self, database: RunTimesStore) -> None:
        self._database = database
        self._known: TTLCache[str, Sequence[float]] = TTLCache(APPS, KNOWN_FOR_S)
        # Of apps that had none when they were first looked up: when that was, and their longest run yet.
        self._new_since_ms: LRUCache[str, int] = LRUCache(APPS)
        self._longest_s: LRUCache[str, float] = LRUCache(APPS)

    async def of(self, task: Task) -> Sequence[float]:
        """Newest first; none for an imported task, whose app is not known."""
        if (target := task.target) is None:
            return ()
        if (known := self._known.get(target)) is None:
            known = self._known[target] = await self._database.run_times(target, limit=LATEST)
            if not known:
                self._new_since_ms.setdefault(target, self._database.clock())
        return known

    async def settled(self, task: Task) -> Sequence[float]:
        """As `of`, but none while an app is new: of its first tasks the short ones end first.

        They say nothing about when those that still run will end.
        """
        known, target = await self.of(task), task.target or ""
        new_since_ms = self._new_since_ms.get(target)
        if not known or new_since_ms is None:
            return known
        longest_s = max(*known, self._longest_s.get(target, 0.0))
        if self._database.clock() - new_since_ms < LEARNING_TIMES * longest_s * 1000:
            return ()
        del self._new_since_ms[target]
        return known

    def forget(self, task: Task, ran_s: float = 0.0) -> None:
        """This task has just finished, after so long."""
        target = task.target or ""
        self._known.pop(target, None)
        if target in self._new_since_ms:
            self._longest_s[target] = max(ran_s, self._longest_s.get(target, 0.0))
