"""What the framework itself costs: a route that answers a constant, and one that only relays the run call."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from httpx_aiohttp import HttpxAiohttpClient
from pydantic import BaseModel


class Task(BaseModel):
    """As many members as the service's own task has."""

    id: str
    status: str
    created_at: str
    updated_at: str
    result_data: list[Any] | None
    node_info: list[dict[str, str]]
    webapp_id: str | None
    runninghub_task_id: str | None
    error: str | None
    queue_position: int | None
    expected_seconds: int | None


class SubmitRequest(BaseModel):
    webappId: str
    nodeInfoList: list[dict[str, str]]


class SubmitResponse(BaseModel):
    task_id: str
    status: str


NODE_INFO = {"nodeId": "15", "fieldName": "text", "fieldType": "STRING", "fieldValue": "a cat"}
RESULT = {
    "fileUrl": "http://127.0.0.1:9000/files/1990000000000000001_1.png",
    "fileType": "png",
    "taskCostTime": "27",
    "nodeId": "9",
    "thirdPartyConsumeMoney": None,
    "consumeMoney": None,
    "consumeCoins": "6",
}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with HttpxAiohttpClient(base_url=os.environ["RUNNINGHUB_BASE_URL"], timeout=30) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def get_health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/tasks/{task_id}")
async def get_task(task_id: str) -> Task:
    return Task(
        id=task_id,
        status="SUCCESS",
        created_at="2026-11-23T12:00:00.123Z",
        updated_at="2026-11-23T12:00:27.456Z",
        result_data=[RESULT],
        node_info=[NODE_INFO],
        webapp_id="1992755951447109633",
        runninghub_task_id="1990000000000000001",
        error=None,
        queue_position=None,
        expected_seconds=27,
    )


@app.post("/submit_task", status_code=202)
async def submit_task(body: SubmitRequest, request: Request) -> SubmitResponse:
    client: HttpxAiohttpClient = request.app.state.client
    response = await client.post(
        "/task/openapi/ai-app/run",
        json={"apiKey": os.environ["RUNNINGHUB_API_KEY"], **body.model_dump()},
    )
    data = response.json()["data"]
    return SubmitResponse(task_id=data["taskId"], status=data["taskStatus"])
