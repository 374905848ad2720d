"""Runs the text-to-image app for several prompts at the same time: python run_app_async.py "a cat" "a dog"

The settings are those of run_app.py, which also has everything that does not wait for the network.
"""

import asyncio
import os
import sys
import uuid
from pathlib import Path

import httpx
from run_app import (
    FINAL,
    SUBMIT_ATTEMPTS,
    WAIT_S,
    GatewayError,
    Json,
    OutcomeUnknown,
    base_url,
    checked,
    request_for,
    results,
    stored_task,
)


async def submit(gateway: httpx.AsyncClient, body: Json, idempotency_key: str) -> str:
    """The task's id; as in run_app.py, what got no clear response is sent again with the same key."""
    for attempt in range(SUBMIT_ATTEMPTS):
        if attempt:
            await asyncio.sleep(2 ** (attempt - 1))
        try:
            headers = {"Idempotency-Key": idempotency_key}
            return str(checked(await gateway.post("/submit_task", json=body, headers=headers))["task_id"])
        except (GatewayError, httpx.TransportError) as error:
            if task_id := stored_task(error):
                return task_id
    raise OutcomeUnknown(idempotency_key)


async def wait(gateway: httpx.AsyncClient, task_id: str) -> Json:
    """The task at its end."""
    task = checked(await gateway.get(f"/tasks/{task_id}"))
    while task["status"] not in FINAL:
        task = checked(await gateway.get(f"/tasks/{task_id}", params={"wait": WAIT_S}))
    return task


async def save(gateway: httpx.AsyncClient, url: str, path: Path) -> Path:
    part = path.with_suffix(path.suffix + ".part")
    async with gateway.stream("GET", url) as response:
        response.raise_for_status()
        with part.open("wb") as file:
            async for piece in response.aiter_bytes():
                file.write(piece)
    return part.replace(path)


async def run(gateway: httpx.AsyncClient, prompt: str) -> list[Path]:
    task_id = await submit(gateway, request_for(prompt, None), str(uuid.uuid4()))
    task = await wait(gateway, task_id)
    return [await save(gateway, url, path) for url, path in results(task)]


async def main(prompts: list[str]) -> None:
    token = os.environ.get("GATEWAY_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=base_url(), headers=headers, timeout=WAIT_S + 10) as gateway:
        # One that fails does not end the others, which have been paid for.
        ends = await asyncio.gather(*(run(gateway, prompt) for prompt in prompts), return_exceptions=True)
    for prompt, end in zip(prompts, ends, strict=True):
        print(prompt, *(end if isinstance(end, list) else [end]), sep=": ")
    if any(isinstance(end, BaseException) for end in ends):
        raise SystemExit(1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
