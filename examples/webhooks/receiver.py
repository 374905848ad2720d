"""Receives the gateway's webhooks and verifies their signatures: uvicorn receiver:app --port 7000

Needs `pip install fastapi uvicorn standardwebhooks`, and the gateway's WEBHOOK_SECRET in the environment.
"""

import json
import logging
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from standardwebhooks import Webhook, WebhookVerificationError

# Two secrets, comma-separated, are valid while one replaces the other.
VERIFIERS = [Webhook(secret.strip()) for secret in os.environ["WEBHOOK_SECRET"].split(",")]
CREATE = (
    "CREATE TABLE IF NOT EXISTS events (webhook_id TEXT PRIMARY KEY, body BLOB, is_used INTEGER DEFAULT 0)"
)
ADD = "INSERT OR IGNORE INTO events (webhook_id, body) VALUES (?, ?)"
UNUSED = "SELECT webhook_id, body FROM events WHERE NOT is_used"
USED = "UPDATE events SET is_used = 1 WHERE webhook_id = ?"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # No isolation level: each statement is on disk when it returns.
    with closing(sqlite3.connect("events.db", isolation_level=None)) as database:
        database.execute(CREATE)
        await use_events(database)  # what an earlier process received and did not use
        app.state.database = database
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/webhooks/gateway", status_code=204)
async def receive(request: Request, background: BackgroundTasks) -> None:
    # The bytes as they arrived. `await request.json()` and json.dumps() would give other bytes (spaces, order
    # of members, escaped characters), and the signature of those is another one.
    body = await request.body()
    verify(body, dict(request.headers))
    database = request.app.state.database
    # A delivery whose response was lost is repeated with the same webhook-id: it is stored once.
    database.execute(ADD, [request.headers["webhook-id"], body])
    # Used after the response: the gateway waits for that no longer than 15 s.
    background.add_task(use_events, database)


def verify(body: bytes, headers: dict[str, str]) -> None:
    for verifier in VERIFIERS:
        try:
            verifier.verify(body, headers)
            return
        except (WebhookVerificationError, ValueError):  # ValueError: headers or a body that cannot be read
            continue
    raise HTTPException(401, "The signature is not valid.")


async def use_events(database: sqlite3.Connection) -> None:
    for webhook_id, body in database.execute(UNUSED).fetchall():
        try:
            use(json.loads(body))
        except Exception:  # one event must not hold up the others; it is tried again with the next one
            logging.exception("%s could not be used", webhook_id)
        else:
            database.execute(USED, [webhook_id])


def use(event: dict[str, Any]) -> None:
    """What your program does with it. Events may arrive in another order than they happened."""
    task = event["data"]
    print(
        event["type"], task["id"], task["metadata"], [output["url"] for output in task["outputs"]], flush=True
    )
