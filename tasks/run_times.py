"""How long each app usually runs, from its latest tasks in the database."""

from collections.abc import Sequence

from cachetools import TTLCache

from database import Database
from models import Task

LATEST = 20
KNOWN_FOR_S = 10.0
APPS = 2_000


class RunTimes:
    """The run times of an app's latest successful tasks, in seconds; read at most every `KNOWN_FOR_S`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: TTLCache[str, Sequence[float]] = TTLCache(APPS, KNOWN_FOR_S)

    async def of(self, task: Task) -> Sequence[float]:
        """Newest first; none for an imported task, whose app is not known."""
        if (target := task.target) is None:
            return ()
        if (known := self._known.get(target)) is None:
            known = self._known[target] = await self._database.run_times(target, limit=LATEST)
        return known

    def forget(self, task: Task) -> None:
        """This task has just finished."""
        self._known.pop(task.target or "", None)
