"""Outgoing webhooks on a real database and real receivers: what is stored, sent, repeated and given up."""

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr
from standardwebhooks import Webhook

from api.schemas import webhook_body
from database import Database
from db.engine import Connection
from db.webhook_queries import SELECT_DUE_OF_EACH
from models import CancelReason, Delivery, DeliveryState, Output, OutputState, Task, WebhookEvent
from tasks.outputs import new_outputs
from tasks.webhook_sender import INTERVAL_S, RETRY_S, WebhookSender
from tests.conftest import Clock, add_waiting, at_runninghub, sqlite_file, until
from transitions import CancelRequested, Finished, RunFailed
from webhooks.receivers import Receivers
from webhooks.signature import WebhookSigner

pytestmark = [pytest.mark.anyio, pytest.mark.both_engines]

OLD = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
NEW = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="
HANGS = 0


@dataclass(slots=True)
class Receiver:
    """A receiver on loopback that responds as a test says, and what it was sent."""

    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    received: list[tuple[dict[str, str], str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=x"

    async def handle(self, request: web.Request) -> web.Response:
        self.received.append((dict(request.headers), await request.text()))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == HANGS:
            await asyncio.Event().wait()
        return web.Response(status=status, headers=self.headers)


@asynccontextmanager
async def listening() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.handle), shutdown_timeout=0.01)  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    yield receiver
    await runner.cleanup()


def body(event: WebhookEvent, timestamp: str, task: Task, outputs: Any) -> str:
    return webhook_body(event, timestamp, task, [(output, f"/outputs/{output.n}") for output in outputs])


@dataclass(slots=True)
class Webhooks:
    database: Database
    receiver: Receiver
    clock: Clock
    sender: WebhookSender

    async def end_task(self, number: int = 1, **members: Any) -> None:
        """A task that fails at RunningHub."""
        task = await at_runninghub(self.database, number, **members)
        failed = RunFailed(task.runninghub_task_id or "", None)
        assert await self.database.store(task.id, failed)

    async def send_due(self) -> int:
        leased = await self.database.deliveries.lease(
            lease_ms=60_000, limit=100, at_once_each=100, in_progress={}
        )
        for delivery in leased:
            await self.sender.send(delivery)
        return len(leased)

    async def delivery(self, task_id: str = "task-1") -> Delivery:
        (delivery,) = await self.database.deliveries.of_task(task_id)
        return delivery


@asynccontextmanager
async def opened(
    database: Database, clock: Clock, *, interval_s: float = INTERVAL_S, **options: Any
) -> AsyncIterator[Webhooks]:
    options = {"may_be_private": True, "at_once": 300} | options
    async with listening() as receiver, Receivers(**options) as receivers:
        database.deliveries.send_to(receiver.url, body)
        signer = WebhookSigner([SecretStr(NEW), SecretStr(OLD)])
        sender = WebhookSender(database.deliveries, receivers, signer, clock=clock, interval_s=interval_s)
        database.deliveries.on_due = sender.wake
        yield Webhooks(database, receiver, clock, sender)


@pytest.fixture
async def webhooks(database: Database, clock: Clock) -> AsyncIterator[Webhooks]:
    async with opened(database, clock) as webhooks:
        yield webhooks


# What is stored


async def test_the_end_of_a_task_is_stored_with_the_task_as_it_was(webhooks: Webhooks) -> None:
    await webhooks.end_task()

    delivery = await webhooks.delivery()
    assert (delivery.type, delivery.state) == (WebhookEvent.FAILED, DeliveryState.PENDING)
    posted = json.loads(delivery.body)
    assert posted["type"] == "task.failed"
    assert (posted["data"]["id"], posted["data"]["status"]) == ("task-1", "FAILED")
    assert posted["data"]["error"]["code"] == "run_failed"


async def test_a_cancelled_waiting_task_is_reported_too(webhooks: Webhooks) -> None:
    task = await add_waiting(webhooks.database)
    await webhooks.database.store(task.id, CancelRequested(CancelReason.USER))

    assert (await webhooks.delivery()).type is WebhookEvent.CANCELLED


async def test_the_tasks_own_address_takes_precedence(webhooks: Webhooks) -> None:
    await webhooks.end_task(webhook_url="https://example.com/own")

    assert (await webhooks.delivery()).url == "https://example.com/own"


async def test_nothing_is_stored_while_webhooks_are_off(database: Database) -> None:
    task = await at_runninghub(database, webhook_url="https://example.com/own")
    await database.store(task.id, RunFailed(task.runninghub_task_id or "", None))

    assert await database.deliveries.of_task(task.id) == []


async def succeed(webhooks: Webhooks) -> list[Output]:
    task = await at_runninghub(webhooks.database)
    results = [{"fileUrl": f"https://example.com/{n}.png", "fileType": "png"} for n in range(2)]
    outputs = new_outputs(results, is_kept=True)
    await webhooks.database.store(
        task.id, Finished(task.runninghub_task_id or "", results, 1.0, None, {}, outputs)
    )
    return await webhooks.database.outputs.lease(lease_ms=1000, limit=10)


async def test_the_end_of_all_copies_is_reported_once(webhooks: Webhooks) -> None:
    first, second = await succeed(webhooks)
    await webhooks.database.outputs.not_kept(first, OutputState.LOST)
    assert len(await webhooks.database.deliveries.of_task("task-1")) == 1

    await webhooks.database.outputs.not_kept(second, OutputState.TOO_LARGE)

    end, kept = await webhooks.database.deliveries.of_task("task-1")
    assert (end.type, kept.type) == (WebhookEvent.SUCCEEDED, WebhookEvent.OUTPUTS_KEPT)
    states = [[output["state"] for output in json.loads(d.body)["data"]["outputs"]] for d in (end, kept)]
    assert states == [["KEEPING", "KEEPING"], ["LOST", "TOO_LARGE"]]


async def test_deliveries_are_deleted_with_their_task(webhooks: Webhooks) -> None:
    await webhooks.end_task()
    assert await webhooks.database.delete_task("task-1")

    assert await webhooks.database.deliveries.of_task("task-1") == []


# What is sent


@pytest.mark.parametrize("secret", [OLD, NEW])
async def test_the_signature_verifies_with_either_secret(webhooks: Webhooks, secret: str) -> None:
    await webhooks.end_task()
    await webhooks.send_due()

    headers, text = webhooks.receiver.received[0]
    at = int(headers["webhook-timestamp"])
    assert at == webhooks.clock() // 1000
    signature = Webhook(secret).sign(headers["webhook-id"], datetime.fromtimestamp(at, UTC), text)
    assert signature in headers["webhook-signature"].split(" ")
    assert (await webhooks.delivery()).state is DeliveryState.DELIVERED


async def test_a_webhook_is_sent_as_soon_as_it_is_stored(database: Database, clock: Clock) -> None:
    """The loop's own interval is for those that other workers have stored."""
    async with opened(database, clock, interval_s=3600) as webhooks:
        loop = asyncio.create_task(webhooks.sender.run())
        await webhooks.end_task()
        await until(lambda: len(webhooks.receiver.received) == 1)

        delivery = await webhooks.delivery()
        assert await database.deliveries.redeliver("task-1", delivery.id)
        await until(lambda: len(webhooks.receiver.received) == 2)
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def test_a_failed_delivery_is_repeated_with_the_same_id_for_three_days(webhooks: Webhooks) -> None:
    webhooks.receiver.statuses = [500] * 20
    await webhooks.end_task()
    sent = await webhooks.send_due()
    for delay_s in RETRY_S:
        webhooks.clock.go_on(delay_s - 1)
        assert await webhooks.send_due() == 0
        webhooks.clock.go_on(delay_s * 0.1 + 2)
        sent += await webhooks.send_due()

    delivery = await webhooks.delivery()
    assert (sent, delivery.state, delivery.next_try_ms) == (10, DeliveryState.FAILED, None)
    assert [attempt.status for attempt in delivery.attempts] == [500] * 10
    assert {headers["webhook-id"] for headers, _ in webhooks.receiver.received} == {delivery.id}


async def test_gone_ends_the_delivery(webhooks: Webhooks) -> None:
    webhooks.receiver.statuses = [410]
    await webhooks.end_task()
    await webhooks.send_due()

    assert (await webhooks.delivery()).state is DeliveryState.FAILED


async def test_a_redirect_is_not_followed(webhooks: Webhooks) -> None:
    webhooks.receiver.statuses = [307]
    webhooks.receiver.headers = {"Location": webhooks.receiver.url}
    await webhooks.end_task()
    await webhooks.send_due()

    delivery = await webhooks.delivery()
    assert (len(webhooks.receiver.received), delivery.state) == (1, DeliveryState.PENDING)
    assert delivery.attempts[0].status == 307


async def test_retry_after_lengthens_a_delay(webhooks: Webhooks) -> None:
    webhooks.receiver.statuses = [503]
    webhooks.receiver.headers = {"Retry-After": "120"}
    await webhooks.end_task()
    await webhooks.send_due()

    assert (await webhooks.delivery()).next_try_ms == webhooks.clock() + 120_000


async def test_a_receiver_on_loopback_gets_nothing_unless_it_is_allowed(
    database: Database, clock: Clock
) -> None:
    async with opened(database, clock, may_be_private=False) as webhooks:
        await webhooks.end_task()
        await webhooks.send_due()

        delivery = await webhooks.delivery()
        assert webhooks.receiver.received == []
        assert delivery.attempts[0].error == "the receiver's address is not a public one"


async def test_a_delivery_is_sent_again_when_somebody_asks_for_it(webhooks: Webhooks) -> None:
    await webhooks.end_task()
    await webhooks.send_due()
    first = await webhooks.delivery()

    assert await webhooks.database.deliveries.redeliver("task-1", first.id)
    assert not await webhooks.database.deliveries.redeliver("task-2", first.id)
    await webhooks.send_due()

    assert len(webhooks.receiver.received) == 2
    assert [attempt.status for attempt in (await webhooks.delivery()).attempts] == [200, 200]


async def test_an_attempt_whose_lease_has_expired_changes_nothing(webhooks: Webhooks) -> None:
    await webhooks.end_task()
    deliveries = webhooks.database.deliveries
    (late,) = await deliveries.lease(lease_ms=1000, limit=1, at_once_each=1, in_progress={})
    webhooks.clock.go_on(2)
    await webhooks.send_due()

    await deliveries.failed(late, None, "late")

    assert (await webhooks.delivery()).state is DeliveryState.DELIVERED


async def store_deliveries(database: Database, urls: Sequence[str], number: int) -> None:
    """`number` due deliveries to each of these receivers, as ends of as many tasks would store them."""
    task = await add_waiting(database)

    async def statements(connection: Connection) -> None:
        for url in urls:
            for _ in range(number):
                await database.deliveries.add(
                    connection, WebhookEvent.FAILED, task._replace(webhook_url=url), []
                )

    await database.engine.write(statements)


async def test_what_is_in_progress_counts_towards_a_receivers_share(webhooks: Webhooks) -> None:
    busy, free = "https://busy.example.com", "https://free.example.com"
    await store_deliveries(webhooks.database, [f"{busy}/1", f"{free}/1", f"{busy}/2"], 6)

    leased = await webhooks.database.deliveries.lease(
        lease_ms=1000, limit=100, at_once_each=4, in_progress={f"{busy}:none": 3}
    )

    assert Counter(delivery.url for delivery in leased) == {f"{busy}/1": 1, f"{free}/1": 4}
    assert not await webhooks.database.deliveries.lease(
        lease_ms=1000,
        limit=100,
        at_once_each=4,
        in_progress={f"{busy}:none": 4, f"{free}:none": 4},
    )


@pytest.mark.sqlite_only
async def test_a_lease_reads_no_more_rows_when_a_receiver_keeps_many_waiting(webhooks: Webhooks) -> None:
    await store_deliveries(webhooks.database, ["https://busy.example.com"], 1000)

    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    parameters = {"now": webhooks.clock(), "at_once_each": 4}
    with closing(sqlite3.connect(sqlite_file(webhooks.database).path)) as connection:
        connection.set_progress_handler(count, 1)
        due = connection.execute(SELECT_DUE_OF_EACH, parameters).fetchall()

    assert len(due) == 4
    assert steps < 1000  # of SQLite's machine: less than one for each row


@pytest.mark.sqlite_only  # so many commits take too long where other tests run beside
async def test_a_thousand_deliveries_pass_five_receivers_that_hang(webhooks: Webhooks) -> None:
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(listening()) for _ in range(50)]
        hanging, healthy = receivers[:5], receivers[5:]
        for receiver in hanging:
            receiver.statuses = [HANGS] * 100
        await store_deliveries(webhooks.database, [receiver.url for receiver in receivers], 20)
        began = time.monotonic()
        loop = asyncio.create_task(webhooks.sender.run())
        await until(lambda: all(len(receiver.received) == 20 for receiver in healthy))
        took_s = time.monotonic() - began
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop

    assert took_s < 5.0
    ids = [headers["webhook-id"] for receiver in healthy for headers, _ in receiver.received]
    assert len(set(ids)) == len(ids) == 900
    assert [len(receiver.received) for receiver in hanging] == [4] * 5


async def test_a_receiver_that_hangs_delays_only_its_own_deliveries(webhooks: Webhooks) -> None:
    async with listening() as hanging:
        hanging.statuses = [HANGS] * 100
        for number in range(1, 21):
            await webhooks.end_task(number, webhook_url=hanging.url)
        for number in range(21, 41):
            await webhooks.end_task(number)
        loop = asyncio.create_task(webhooks.sender.run())
        await until(lambda: len(webhooks.receiver.received) == 20)
        assert len(hanging.received) <= 4
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
