"""Stores what this worker has recorded, every few seconds and when it stops."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from db.metric_rows import Gauges, MetricRows
from errors import DatabaseUnavailable
from metrics import Metrics, Samples

log = logging.getLogger(__name__)

# What a killed process loses; shorter than any scrape interval, so that counters seen by two workers grow.
INTERVAL_S = 5.0
# How long a scrape, or a stop, waits for this worker's own samples: a locked database delays neither.
STORE_TIMEOUT_S = 1.0


class MetricsRecorder:
    """`run` is the loop that the lifespan owns. `streams` is how many event streams this worker has open."""

    def __init__(self, metrics: Metrics, rows: MetricRows, streams: Callable[[], int]) -> None:
        self._metrics = metrics
        self._rows = rows
        self._streams = streams
        self._stored_streams = 0
        self._storing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.store()

    async def read(self) -> tuple[Samples, Gauges]:
        """The numbers of all workers, this one's up to now. Raises DatabaseUnavailable.

        Only what is stored is shown: a number never goes back, whichever worker responds.
        """
        await self.store_in_time()
        return await self._rows.samples(), await self._rows.gauges()

    async def store_in_time(self) -> None:
        """As `store`, but return after `STORE_TIMEOUT_S` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self.store()

    async def store(self) -> None:
        """Store what was recorded so far; where its caller is cancelled, that goes on."""
        while self._storing is not None:
            await asyncio.shield(self._storing)
        self._storing = asyncio.create_task(self._store(), name="storing metrics")
        await asyncio.shield(self._storing)

    async def _store(self) -> None:
        samples: Samples = {}
        streams = self._streams()
        try:
            if streams or self._stored_streams or self._metrics.is_worth_storing:
                samples = self._metrics.take()
                await self._rows.add(samples, streams=streams)
                self._stored_streams = streams
        except DatabaseUnavailable:  # logged where it was met; the next store has them
            self._metrics.put_back(samples)
        except Exception:  # metrics must not end the loop
            log.exception("metrics could not be stored")
        finally:
            self._storing = None
