"""Fetches the JSON behind JWT_JWKS_URL."""

import asyncio
import json
from typing import Any

import httpx

from users.jwks import FetchKeys

TIMEOUT_S = 5.0
MAX_BYTES = 1_000_000


def key_source(client: httpx.AsyncClient, url: str) -> FetchKeys:
    """`Jwks` fetches with it. Its errors name no more of a response than its status."""

    async def fetch() -> Any:
        try:
            async with asyncio.timeout(TIMEOUT_S), client.stream("GET", url) as response:
                if response.status_code != 200:
                    raise ValueError(f"HTTP {response.status_code}")
                return json.loads(await _body(response))
        except httpx.HTTPError as exc:
            raise ConnectionError(type(exc).__name__) from exc

    return fetch


async def _body(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise ValueError("the response is too large")
    return body
