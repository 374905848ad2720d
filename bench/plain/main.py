"""The five routes as written in an hour: a client and a connection per call, a poller per task."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiosqlite
import httpx
from fastapi import BackgroundTasks, FastAPI, HTTPException, UploadFile
from pydantic import BaseModel

API_KEY = os.environ.get("RUNNINGHUB_API_KEY", "")
BASE_URL = os.environ.get("RUNNINGHUB_BASE_URL", "https://www.runninghub.cn")
DATABASE = os.environ.get("DATABASE", "plain.db")
TIMEOUT_S = 60
POLL_S = 5
RUNNING, QUEUED = 804, 813

SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY,
    runninghub_task_id TEXT,
    webapp_id TEXT,
    status TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    node_info TEXT,
    result_data TEXT,
    error TEXT
)
"""


class NodeInfoRequest(BaseModel):
    webappId: str


class SubmitRequest(BaseModel):
    webappId: str
    nodeInfoList: list[dict[str, Any]]


class QueryRequest(BaseModel):
    taskId: str


class Task(BaseModel):
    id: str
    runninghub_task_id: str | None
    webapp_id: str | None
    status: str
    created_at: str
    updated_at: str
    node_info: list[dict[str, Any]]
    result_data: list[Any] | None
    error: str | None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with aiosqlite.connect(DATABASE) as db:
        await db.execute("PRAGMA journal_mode=WAL")
        await db.execute(SCHEMA)
        await db.commit()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/get_node_info")
async def get_node_info(body: NodeInfoRequest) -> dict[str, Any]:
    data = await call("GET", "/api/webapp/apiCallDemo", params={"apiKey": API_KEY, "webappId": body.webappId})
    data.pop("curl", None)
    return data


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, Any]:
    return await call(
        "POST",
        "/task/openapi/upload",
        data={"apiKey": API_KEY, "fileType": "input"},
        files={"file": (file.filename, await file.read(), file.content_type)},
    )


@app.post("/submit_task", status_code=202)
async def submit_task(body: SubmitRequest, background_tasks: BackgroundTasks) -> dict[str, str]:
    payload = {"apiKey": API_KEY, "webappId": body.webappId, "nodeInfoList": body.nodeInfoList}
    data = await call("POST", "/task/openapi/ai-app/run", json=payload)
    task_id = uuid.uuid4().hex
    await execute(
        "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
        (task_id, data["taskId"], body.webappId, "RUNNING", now(), now(), json.dumps(body.nodeInfoList)),
    )
    background_tasks.add_task(poll, task_id, data["taskId"])
    return {"task_id": task_id, "status": "RUNNING"}


@app.post("/task/query_task_status")
async def query_task_status(body: QueryRequest) -> Task:
    task = await find(body.taskId)
    await refresh(task.id, str(task.runninghub_task_id))
    return await find(body.taskId)


@app.get("/tasks/{task_id}")
async def get_task(task_id: str) -> Task:
    return await find(task_id)


async def poll(task_id: str, runninghub_task_id: str) -> None:
    while True:
        await asyncio.sleep(POLL_S)
        try:
            if await refresh(task_id, runninghub_task_id):
                return
        except (HTTPException, httpx.HTTPError):
            continue


async def refresh(task_id: str, runninghub_task_id: str) -> bool:
    """Ask RunningHub and store the outcome; true when the task has ended."""
    reply = await ask("POST", "/task/openapi/outputs", json={"apiKey": API_KEY, "taskId": runninghub_task_id})
    if reply["code"] in (RUNNING, QUEUED):
        return False
    is_success = reply["code"] == 0
    await execute(
        "UPDATE tasks SET status = ?, result_data = ?, error = ?, updated_at = ? WHERE id = ?",
        (
            "SUCCESS" if is_success else "FAILED",
            json.dumps(reply["data"]) if is_success else None,
            None if is_success else reply["msg"],
            now(),
            task_id,
        ),
    )
    return True


async def ask(method: str, path: str, **parts: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=BASE_URL, timeout=TIMEOUT_S) as client:
        response = await client.request(method, path, **parts)
    response.raise_for_status()
    reply: dict[str, Any] = response.json()
    return reply


async def call(method: str, path: str, **parts: Any) -> dict[str, Any]:
    reply = await ask(method, path, **parts)
    if reply["code"] != 0:
        raise HTTPException(502, reply["msg"])
    data: dict[str, Any] = reply["data"]
    return data


async def find(task_id: str) -> Task:
    async with aiosqlite.connect(DATABASE) as db:
        db.row_factory = aiosqlite.Row
        async with db.execute("SELECT * FROM tasks WHERE id = ?", (task_id,)) as cursor:
            row = await cursor.fetchone()
    if row is None:
        raise HTTPException(404, "task not found")
    values = dict(row)
    values["node_info"] = json.loads(values["node_info"])
    values["result_data"] = json.loads(values["result_data"]) if values["result_data"] else None
    return Task(**values)


async def execute(sql: str, values: tuple[Any, ...]) -> None:
    async with aiosqlite.connect(DATABASE, timeout=30) as db:
        await db.execute(sql, values)
        await db.commit()


def now() -> str:
    return datetime.now(UTC).isoformat()
