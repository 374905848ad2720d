"""Sends outgoing webhooks, and repeats those that were not received: across restarts, for three days."""

import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence

from db.webhook_rows import DeliveryRows, receiver_of
from models import Delivery
from tasks.leased_work import LeasedWork
from webhooks.receivers import PostFailed, Receipt, Receivers
from webhooks.signature import WebhookSigner

log = logging.getLogger(__name__)

AT_ONCE = 256
# Of one receiver: one that hangs keeps the others from nothing.
AT_ONCE_EACH = 4
INTERVAL_S = 0.1
LEASE_MS = 60_000
# After the first failed attempt, the second, …; the one after the last ends the delivery.
RETRY_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 1.1
# A receiver's wish counts up to here.
MAX_RETRY_AFTER_S = 86_400.0
LONGEST_DELAY_MS = int(86_400 * JITTER * 1000)
GONE = 410


class WebhookSender:
    """`run` is the loop that the lifespan owns."""

    def __init__(
        self,
        deliveries: DeliveryRows,
        receivers: Receivers,
        signer: WebhookSigner,
        *,
        clock: Callable[[], int],
        lease_ms: int = LEASE_MS,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._deliveries = deliveries
        self._receivers = receivers
        self._signer = signer
        self._clock = clock
        self._lease_ms = lease_ms
        self._in_progress: Counter[str] = Counter()
        self._sending: LeasedWork[Delivery] = LeasedWork(
            "sending webhooks",
            lease=self._lease,
            work=self._send_counted,
            at_once=AT_ONCE,
            interval_s=interval_s,
        )

    def wake(self) -> None:
        """Send what is due now, without waiting for the interval's end."""
        self._sending.wake()

    async def run(self) -> None:
        """Until cancelled; an attempt in progress is repeated when its lease expires."""
        await self._sending.run()

    async def _lease(self, limit: int) -> Sequence[Delivery]:
        leased = await self._deliveries.lease(
            lease_ms=self._lease_ms,
            limit=limit,
            at_once_each=AT_ONCE_EACH,
            in_progress=+self._in_progress,
        )
        self._in_progress.update(receiver_of(delivery.url) for delivery in leased)
        return leased

    async def _send_counted(self, delivery: Delivery) -> None:
        try:
            await self.send(delivery)
        finally:
            self._in_progress[receiver_of(delivery.url)] -= 1

    async def send(self, delivery: Delivery) -> None:
        """Make one attempt and store what became of it."""
        headers = self._signer.headers(delivery.id, self._clock(), delivery.body)
        try:
            receipt = await self._receivers.post(delivery.url, delivery.body, headers)
        except PostFailed as exc:
            await self._failed(delivery, None, str(exc))
            return
        if 200 <= receipt.status < 300:
            await self._deliveries.delivered(delivery, receipt.status)
        else:
            await self._failed(delivery, receipt, None)

    async def _failed(self, delivery: Delivery, receipt: Receipt | None, error: str | None) -> None:
        status = receipt.status if receipt else None
        place = {"task_id": delivery.task_id, "webhook_id": delivery.id, "status": status, "reason": error}
        if status == GONE or delivery.failures >= len(RETRY_S):
            log.warning("a webhook was not delivered", extra=place)
            await self._deliveries.failed(delivery, status, error)
            return
        log.info("a webhook is sent again later", extra=place)
        delay_s = RETRY_S[delivery.failures] * random.uniform(1, JITTER)
        wish_s = min(receipt.retry_after_s, MAX_RETRY_AFTER_S) if receipt else 0.0
        delay_ms = int(max(delay_s, wish_s) * 1000)
        await self._deliveries.retry(delivery, status, error, delay_ms=delay_ms)
