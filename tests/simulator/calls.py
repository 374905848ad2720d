"""The calls that the simulator's tests make, and the responses that they expect."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from simulator import apps

Json = dict[str, Any]


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def client_of(app: FastAPI, port: int | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app in this process, with the app's real lifespan."""
    transport = httpx.ASGITransport(app)
    base_url = "http://rh" if port is None else f"http://rh:{port}"
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=base_url) as client,
    ):
        yield client


def run_body(webapp_id: str = apps.TEXT_TO_IMAGE, *items: Json, **members: Any) -> Json:
    return {"apiKey": "key", "webappId": webapp_id, "nodeInfoList": list(items), **members}


async def run(client: httpx.AsyncClient, *args: Any, **members: Any) -> Json:
    response = await client.post("/task/openapi/ai-app/run", json=run_body(*args, **members))
    return response.json()  # type: ignore[no-any-return]


async def start(client: httpx.AsyncClient, *args: Any, **members: Any) -> str:
    response = await run(client, *args, **members)
    assert response["code"] == 0, response
    return str(response["data"]["taskId"])


async def poll(client: httpx.AsyncClient, task_id: str, call: str = "outputs", key: str = "key") -> Json:
    response = await client.post(f"/task/openapi/{call}", json={"apiKey": key, "taskId": task_id})
    return response.json()  # type: ignore[no-any-return]


async def account_status(client: httpx.AsyncClient, key: str = "key") -> Json:
    response = await client.post("/uc/openapi/accountStatus", json={"apikey": key})
    return response.json()  # type: ignore[no-any-return]


async def send_file(client: httpx.AsyncClient, name: str, content: bytes) -> Json:
    response = await client.post(
        "/task/openapi/upload",
        data={"apiKey": "key", "fileType": "input"},
        files={"file": (name, content)},
    )
    return response.json()  # type: ignore[no-any-return]


async def switch(client: httpx.AsyncClient, **switches: Any) -> None:
    response = await client.patch("/simulator/switches", json=switches)
    assert response.status_code == 200, response.text


async def counters(client: httpx.AsyncClient) -> Json:
    return (await client.get("/simulator/counters")).json()  # type: ignore[no-any-return]


def envelope(code: int, msg: str, data: Any = None) -> Json:
    return {"code": code, "msg": msg, "errorMessages": None, "data": data}


async def v2(client: httpx.AsyncClient, path: str, body: Json, authorization: str = "Bearer key") -> Json:
    response = await client.post(f"/openapi/v2/{path}", json=body, headers={"Authorization": authorization})
    assert response.status_code == 200
    return response.json()  # type: ignore[no-any-return]


def task_object(**members: Any) -> Json:
    """A v2 task object: these members, all others empty."""
    empty: Json = dict.fromkeys(
        ("taskId", "status", "errorCode", "errorMessage", "clientId", "promptTips"), ""
    )
    return empty | {"results": None, "failedReason": {}, "usage": None} | members
