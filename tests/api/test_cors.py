"""CORS: which pages can read responses, and what a rejected preflight says."""

import pytest

from api.cors import RESPONSE_HEADERS
from tests.api.small_service import FORBIDDEN_ORIGIN, FORBIDDEN_PREFLIGHT, TOKENS, service

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "origin", ["http://localhost:5173", "https://localhost", "http://127.0.0.1:3000", "http://[::1]:8080"]
)
async def test_loopback_origins_may_call_by_default(origin: str) -> None:
    answer = await service().post("/submit_task", headers={"Origin": origin})
    assert answer.json() == {"ok": True}
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-expose-headers"] == ", ".join(RESPONSE_HEADERS)
    assert "access-control-allow-credentials" not in answer.headers


async def test_cors_origins_replace_the_loopback_origins() -> None:
    client = service(cors_origins="https://shop.example")
    shop = await client.post("/submit_task", headers={"Origin": "https://shop.example"})
    assert shop.headers["access-control-allow-origin"] == "https://shop.example"
    local = await client.post("/submit_task", headers={"Origin": "http://localhost:5173"})
    assert local.json() == FORBIDDEN_ORIGIN


async def test_a_foreign_page_may_follow_a_link_here_but_cannot_read_the_answer() -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = await service().get("/tasks", headers=headers)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def preflight(origin: str, method: str = "POST", header: str = "authorization") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": header,
    }


@pytest.mark.parametrize(
    "header", ["authorization", "content-type", "idempotency-key", "last-event-id", "x-request-id"]
)
async def test_a_preflight_passes_without_a_token(header: str) -> None:
    client = service(access_tokens=TOKENS)
    answer = await client.options("/submit_task", headers=preflight("http://localhost:5173", header=header))
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, POST, PATCH, DELETE"


@pytest.mark.parametrize(
    "headers",
    [
        preflight("https://evil.example"),
        preflight("http://localhost:5173", method="PUT"),
        preflight("http://localhost:5173", header="x-other"),
    ],
)
async def test_a_refused_preflight_is_a_problem(headers: dict[str, str]) -> None:
    answer = await service().options("/submit_task", headers=headers)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == FORBIDDEN_PREFLIGHT
    assert "access-control-allow-origin" not in answer.headers


async def test_a_front_end_can_read_refusals() -> None:
    origin = {"Origin": "http://localhost:5173"}
    unauthorized = await service(access_tokens=TOKENS).get("/tasks", headers=origin)
    forbidden_host = await service("http://evil.example").get("/tasks", headers=origin)
    limited = service(rate_limit_per_minute=1)
    await limited.post("/upload", headers=origin)
    rate_limited = await limited.post("/upload", headers=origin)
    answers = [unauthorized, forbidden_host, rate_limited]
    assert [answer.status_code for answer in answers] == [401, 403, 429]
    assert {answer.headers["access-control-allow-origin"] for answer in answers} == {origin["Origin"]}
