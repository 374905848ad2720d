"""Deletes outputs after OUTPUTS_KEEP_DAYS, and tasks after TASKS_KEEP_DAYS."""

import asyncio
import logging

from config import Settings
from database import Database

log = logging.getLogger(__name__)

INTERVAL_S = 3600.0
# So many rows in one transaction, so that nobody waits long for the next one.
ROWS_AT_ONCE = 500
DAY_MS = 24 * 3600 * 1000


class Retention:
    """A loop that the lifespan owns: at startup, then hourly."""

    def __init__(self, database: Database, settings: Settings, *, rows_at_once: int = ROWS_AT_ONCE) -> None:
        self._database = database
        self._rows_at_once = rows_at_once
        self._outputs_keep_days = settings.outputs_keep_days
        self._tasks_keep_days = settings.tasks_keep_days

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self.delete_old()
            except Exception:  # the loop has to survive whatever one round met: the next one comes in an hour
                log.exception("what is too old could not be deleted")
            await asyncio.sleep(INTERVAL_S)

    async def delete_old(self) -> None:
        if self._outputs_keep_days:
            await self._delete_outputs(self._before_ms(self._outputs_keep_days))
        if self._tasks_keep_days:
            await self._delete_tasks(self._before_ms(self._tasks_keep_days))

    def _before_ms(self, days: float) -> int:
        return self._database.clock() - int(days * DAY_MS)

    async def _delete_outputs(self, before_ms: int) -> None:
        while deleted := await self._database.outputs.delete_kept_before(before_ms, limit=self._rows_at_once):
            log.info("old outputs deleted", extra={"outputs": deleted})

    async def _delete_tasks(self, before_ms: int) -> None:
        while deleted := await self._database.delete_tasks_ended_before(before_ms, limit=self._rows_at_once):
            log.info("old tasks deleted", extra={"tasks": len(deleted)})
