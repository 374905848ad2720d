"""The metrics of all workers: what they recorded, added up, and what is as it is now."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from db import metric_queries as queries
from db.engine import Connection, Engine
from metrics import MAX_VALUES, OTHER, Labels, Samples

# A worker that has not stored its streams for so long is gone.
GONE_MS = 20_000


@dataclass(frozen=True, slots=True)
class Gauges:
    """How things are now.

    `oldest_waiting_at` is RFC 3339; `poll_deadline_ms` is the earliest of the polls that are due.
    """

    tasks: Mapping[str, int]
    running: Mapping[str, int]
    oldest_waiting_at: str | None
    poll_deadline_ms: int | None
    deliveries: int
    outputs: int
    streams: int


class MetricRows:
    """Every operation on stored metrics."""

    def __init__(self, engine: Engine, clock: Callable[[], int], worker: str) -> None:
        self._engine = engine
        self._clock = clock
        self._worker = worker

    async def add(self, samples: Samples, *, streams: int) -> None:
        """Add what this worker has recorded to what is stored; `streams` is how many it has open now."""
        now = self._clock()

        async def statements(connection: Connection) -> None:
            await self._engine.lock(connection, "metrics")
            for (name, labels, part), value in (await self._bounded(connection, samples)).items():
                values = {"name": name, "labels": json.dumps(labels), "part": part, "value": value}
                await connection.execute_fetchall(queries.ADD_SAMPLE, values)
            gone = {"worker": self._worker, "seen_after": now - GONE_MS}
            await connection.execute_fetchall(queries.DELETE_STREAMS, gone)
            if streams:
                own = {"worker": self._worker, "streams": streams, "now": now}
                await connection.execute_fetchall(queries.SET_STREAMS, own)

        await self._engine.write(statements)

    async def _bounded(self, connection: Connection, samples: Samples) -> Samples:
        """The samples, with one label for all values beyond those that a counter may have."""
        known: dict[str, set[Labels]] = {}
        for name in MAX_VALUES.keys() & {name for name, _, _ in samples}:
            rows = await connection.execute_fetchall(queries.SELECT_LABELS, {"name": name})
            known[name] = {tuple(json.loads(row["labels"])) for row in rows}
        bounded: Samples = {}
        for (name, labels, part), value in samples.items():
            if name in known and labels not in known[name]:
                if len(known[name]) < MAX_VALUES[name]:
                    known[name].add(labels)
                else:
                    labels = (OTHER, *labels[1:])
            key = (name, labels, part)
            bounded[key] = bounded.get(key, 0.0) + value
        return bounded

    async def samples(self) -> Samples:
        """Everything that all workers have stored."""
        rows = await self._engine.count(queries.SELECT_SAMPLES)
        return {(row["name"], tuple(json.loads(row["labels"])), row["part"]): row["value"] for row in rows}

    async def gauges(self) -> Gauges:
        now = self._clock()
        found: dict[str, dict[str, int]] = {}
        parameters = {"now": now, "seen_after": now - GONE_MS, "seen_before": now + GONE_MS}
        for row in await self._engine.count(queries.SELECT_GAUGES, parameters):
            if row["value"] is not None:
                found.setdefault(row["name"], {})[row["label"]] = int(row["value"])
        return Gauges(
            tasks=found.get("tasks", {}),
            running=found.get("running", {}),
            oldest_waiting_at=next(iter(found.get("oldest_waiting", {})), None),
            poll_deadline_ms=found.get("poll_deadline", {}).get(""),
            deliveries=found["deliveries"][""],
            outputs=found["outputs"][""],
            streams=found.get("streams", {}).get("", 0),
        )
