"""The security headers of every response."""

import pytest

from api.security_headers import SECURITY_HEADERS
from tests.api.small_service import service

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("base_url", "path", "status"),
    [
        ("http://localhost", "/tasks", 200),
        ("http://localhost", "/nowhere", 404),
        ("http://evil.example", "/", 403),
    ],
)
async def test_every_answer_carries_the_security_headers_and_a_request_id(
    base_url: str, path: str, status: int
) -> None:
    answer = await service(base_url).get(path)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["x-request-id"]


async def test_a_routes_own_headers_win() -> None:
    answer = await service().get("/page")
    assert answer.headers.get_list("cache-control") == ["max-age=60"]
    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]


def test_header_names_are_in_lower_case_as_asgi_wants_them() -> None:
    assert all(name == name.lower() for name, _ in SECURITY_HEADERS)
