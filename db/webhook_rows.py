"""The rows of outgoing webhooks: written when a task ends, leased while they are sent."""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from db import webhook_queries as queries
from db.engine import Connection, Engine, Row
from metrics import DELIVERIES
from models import (
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    Output,
    Task,
    WebhookEvent,
    WebhookFormat,
    rfc3339,
)

TASK_ENDS = frozenset({WebhookEvent.SUCCEEDED, WebhookEvent.FAILED, WebhookEvent.CANCELLED})
WebhookBody = Callable[[WebhookEvent, str, Task, Sequence[Output]], str]
"""The body of a webhook: `(event, timestamp, task, its outputs)` to JSON. It is called in a transaction."""


def _delivery(row: Row) -> Delivery:
    values = dict(zip(row.keys(), row, strict=True))
    attempts = tuple(DeliveryAttempt(**attempt) for attempt in json.loads(values["attempts"]))
    return Delivery(
        **values
        | {
            "attempts": attempts,
            "type": WebhookEvent(values["type"]),
            "state": DeliveryState(values["state"]),
        }
    )


def receiver_of(url: str) -> str:
    """Whose address it is: scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}".lower()


def _nothing() -> None: ...


def _is_reported(event: WebhookEvent, webhook_format: WebhookFormat) -> bool:
    """RunningHub's format has one event, a task's end."""
    return webhook_format is WebhookFormat.STANDARD or event in TASK_ENDS


class DeliveryRows:
    """Every operation on deliveries. They are deleted with their task.

    Nothing is stored until `send_to` has been called: webhooks are off. `on_due` is called when a delivery
    that is due has been committed by this worker; those of other workers are found by polling.
    """

    def __init__(self, engine: Engine, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._clock = clock
        self._body: WebhookBody | None = None
        self._default_url: str | None = None
        self.on_due: Callable[[], None] = _nothing

    def send_to(self, default_url: str | None, body: WebhookBody) -> None:
        """Turn webhooks on. `default_url` is for tasks without an address of their own."""
        self._default_url = default_url
        self._body = body

    async def add(
        self, connection: Connection, event: WebhookEvent, task: Task, outputs: Sequence[Output]
    ) -> None:
        """Part of the transaction that the event belongs to; its caller calls `on_due` after the commit."""
        url = task.webhook_url or self._default_url
        if self._body is None or url is None or not _is_reported(event, task.webhook_format):
            return
        now = self._clock()
        values = {
            "id": f"msg_{secrets.token_hex(16)}",
            "task_id": task.id,
            "type": event,
            "url": url,
            "receiver": receiver_of(url),
            "body": self._body(event, rfc3339(now), task, outputs),
            "now": now,
        }
        await connection.execute_fetchall(queries.INSERT_DELIVERY, values)

    async def of_task(self, task_id: str) -> list[Delivery]:
        """In the order in which they were stored."""
        return [
            _delivery(row) for row in await self._engine.read(queries.SELECT_OF_TASK, {"task_id": task_id})
        ]

    # Sending

    async def lease(
        self, *, lease_ms: int, limit: int, at_once_each: int, in_progress: Mapping[str, int]
    ) -> list[Delivery]:
        """Lease up to `limit` due deliveries; nobody else gets them until the lease expires.

        `in_progress` counts what this worker is sending by receiver, which gets `at_once_each` at most.
        """
        now = self._clock()
        if not await self._engine.read(queries.HAS_DUE, {"now": now}):
            return []
        due = await self._engine.read(queries.SELECT_DUE_OF_EACH, {"now": now, "at_once_each": at_once_each})
        seqs, counts = [], Counter(in_progress)
        for seq, receiver in due:
            counts[receiver] += 1
            if counts[receiver] <= at_once_each:
                seqs.append(seq)
        if not seqs:
            return []
        parameters = {"now": now, "lease_until": now + lease_ms, "seqs": json.dumps(seqs[:limit])}

        async def statements(connection: Connection) -> list[Delivery]:
            rows = await connection.execute_fetchall(queries.LEASE_DUE, parameters)
            return [_delivery(row) for row in rows]

        return await self._engine.write(statements)

    async def pull_due(self, *, longest_ms: int) -> None:
        """Make due what would wait for longer: the clock has stepped back."""
        now = self._clock()
        await self._change(queries.PULL_DUE, {"now": now, "farthest": now + longest_ms})

    async def delivered(self, delivery: Delivery, status: int) -> None:
        is_own = await self._store(delivery, DeliveryState.DELIVERED, status, None, delivery.failures, None)
        self._count(is_own, "delivered")

    async def failed(self, delivery: Delivery, status: int | None, error: str | None) -> None:
        """The last attempt: nothing more is sent, unless somebody asks for it."""
        failures = delivery.failures + 1
        is_own = await self._store(delivery, DeliveryState.FAILED, status, error, failures, None)
        self._count(is_own, "failed")

    async def retry(
        self, delivery: Delivery, status: int | None, error: str | None, *, delay_ms: int
    ) -> None:
        """Try again later."""
        next_try_ms = self._clock() + delay_ms
        failures = delivery.failures + 1
        is_own = await self._store(delivery, DeliveryState.PENDING, status, error, failures, next_try_ms)
        self._count(is_own, "to_be_retried")

    def _count(self, is_own: bool, outcome: str) -> None:
        """An attempt that somebody else has taken over is counted there."""
        if is_own:
            self._engine.metrics.count(DELIVERIES, outcome)

    async def _store(
        self,
        delivery: Delivery,
        state: DeliveryState,
        status: int | None,
        error: str | None,
        failures: int,
        next_try_ms: int | None,
    ) -> bool:
        attempt = {"at": rfc3339(self._clock()), "status": status, "error": error}
        values = {
            "id": delivery.id,
            "leases": delivery.leases,
            "state": state,
            "attempt": json.dumps(attempt),
            "failures": failures,
            "next_try_ms": next_try_ms,
        }
        return await self._change(queries.STORE_ATTEMPT, values)

    async def redeliver(self, task_id: str, delivery_id: str) -> bool:
        """Send it again now, with all retries; False: the task has no such delivery."""
        parameters = {"id": delivery_id, "task_id": task_id, "now": self._clock()}
        is_due = await self._change(queries.REDELIVER, parameters)
        self.on_due()
        return is_due

    async def _change(self, sql: str, parameters: dict[str, object]) -> bool:
        async def statements(connection: Connection) -> bool:
            return bool(list(await connection.execute_fetchall(sql, parameters)))

        return await self._engine.write(statements)
