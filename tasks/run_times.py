"""How long each app usually runs, from its latest tasks in the database."""

from collections.abc import Sequence

from cachetools import TTLCache

from database import Database

LATEST = 20
KNOWN_FOR_S = 10.0
APPS = 2_000


class RunTimes:
    """The run times of an app's latest successful tasks, in seconds; read at most every `KNOWN_FOR_S`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: TTLCache[str, Sequence[float]] = TTLCache(APPS, KNOWN_FOR_S)

    async def of(self, webapp_id: str | None) -> Sequence[float]:
        if webapp_id is None:
            return ()
        if (known := self._known.get(webapp_id)) is None:
            known = self._known[webapp_id] = await self._database.run_times(webapp_id, limit=LATEST)
        return known

    def forget(self, webapp_id: str | None) -> None:
        """A task of this app has just finished."""
        self._known.pop(webapp_id or "", None)
