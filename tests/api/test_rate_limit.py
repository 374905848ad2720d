"""RATE_LIMIT_PER_MINUTE: costly calls of each client."""

import pytest

from tests.api.small_service import TOKENS, bearer, service

pytestmark = pytest.mark.anyio


async def test_a_client_past_its_rate_is_told_how_long_to_wait() -> None:
    client = service(rate_limit_per_minute=2)
    assert [(await client.post("/upload")).status_code for _ in range(3)] == [200, 200, 429]
    answer = await client.post("/submit_task")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json() == {
        "type": "/docs#problem-rate_limited",
        "title": "The client is over RATE_LIMIT_PER_MINUTE",
        "status": 429,
        "detail": "More than 2 calls in a minute; call again when the minute is over.",
        "code": "rate_limited",
    }


async def test_only_a_refresh_of_the_node_list_is_counted() -> None:
    client = service(rate_limit_per_minute=1)
    calls = [{}, {"refresh": False}, {"refresh": True}, {"refresh": True}, {}]
    answers = [await client.post("/get_node_info", json=body) for body in calls]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 200]


async def test_each_token_has_its_own_rate_however_it_is_spelled() -> None:
    client = service(access_tokens=TOKENS, rate_limit_per_minute=1)
    spellings = ["Bearer first-token", "bearer  first-token ", "Bearer second-töken", "BEARER second-töken"]
    answers = [
        await client.post("/upload", headers=[(b"Authorization", text.encode())]) for text in spellings
    ]
    assert [answer.status_code for answer in answers] == [200, 429, 200, 429]


async def test_without_tokens_an_address_has_one_rate_whatever_token_it_makes_up() -> None:
    client = service(rate_limit_per_minute=1)
    answers = [await client.post("/upload", headers=bearer(token)) for token in ("a", "b")]
    assert [answer.status_code for answer in answers] == [200, 429]


async def test_no_limit_is_the_default() -> None:
    client = service()
    assert {(await client.post("/upload")).status_code for _ in range(50)} == {200}
