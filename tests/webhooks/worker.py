"""A worker that ends tasks and sends their webhooks, on a clock that a test moves: to be killed at any time.

python -m tests.webhooks.worker DATABASE URL CLOCK_FILE NAME
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from database import Database
from models import CancelReason, Output, Task, TaskStatus, WebhookEvent
from tasks.webhook_sender import WebhookSender
from transitions import CancelRequested, Event, Finished, OutcomeUnknown, RunFailed
from webhooks.receivers import Receivers
from webhooks.signature import WebhookSigner

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
PAUSE_S = 0.01


def body(event: WebhookEvent, timestamp: str, task: Task, outputs: Sequence[Output]) -> str:
    return json.dumps({"type": event, "timestamp": timestamp, "data": {"id": task.id, "status": task.status}})


def end_of(task: Task) -> Event:
    """By its status now: every kind of end."""
    if task.status is TaskStatus.PENDING:
        return CancelRequested(CancelReason.USER)
    if task.status is TaskStatus.SUBMITTING:
        return OutcomeUnknown(task.attempt, {"code": "submit_interrupted", "message": "killed"})
    run = task.runninghub_task_id or ""
    return RunFailed(run, None) if int(run) % 2 else Finished(run, [], 1.0, None, {})


async def end_tasks(database: Database) -> None:
    """One after the other, as polls would find them."""
    while True:
        for task in await database.page(before_seq=2**62, limit=200):
            if not task.status.is_final and task.status is not TaskStatus.SUBMIT_UNKNOWN:
                await database.store(task.id, end_of(task))
                break
        await asyncio.sleep(PAUSE_S)


async def work(path: str, url: str, clock_file: Path, name: str) -> None:
    def clock() -> int:
        return int(clock_file.read_text())

    async with (
        Database(path, worker=name, clock=clock) as database,
        Receivers(may_be_private=True, at_once=300) as receivers,
    ):
        database.deliveries.send_to(url, body)
        signer = WebhookSigner([SecretStr(SECRET)])
        sender = WebhookSender(database.deliveries, receivers, signer, clock=clock)
        print("at work", flush=True)
        await asyncio.gather(sender.run(), end_tasks(database))


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
