"""Who may come in, from where, how often, and what every answer says to a browser."""

from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from api.auth import SECURITY_HEADERS, RateLimiter, document_bearer, install_auth
from api.problems import install_problem_handlers
from config import Settings
from logs import RequestLogMiddleware

pytestmark = pytest.mark.anyio

HOOK = "/webhooks/runninghub/t1/5ec2e7"
TOKENS = "first-token,second-töken"

UNAUTHORIZED = {
    "type": "/docs#problem-unauthorized",
    "title": "The access token is missing or invalid",
    "status": 401,
    "detail": "Send one of the service's access tokens: Authorization: Bearer <token>.",
    "code": "unauthorized",
}


def forbidden(detail: str) -> dict[str, Any]:
    return {
        "type": "/docs#problem-forbidden_host",
        "title": "No tokens are set and the request is addressed to a name that is not allowed",
        "status": 403,
        "detail": detail,
        "code": "forbidden_host",
    }


FORBIDDEN_HOST = forbidden(
    "Without ACCESS_TOKENS this service answers only to loopback names. "
    "Set ACCESS_TOKENS, or add the host's name to ALLOWED_HOSTS."
)
FORBIDDEN_ORIGIN = forbidden(
    "Pages of this origin may not call this service. Add the origin to CORS_ORIGINS."
)
FORBIDDEN_PREFLIGHT = forbidden(
    "This origin, method or header is not allowed here; CORS_ORIGINS lists the origins."
)


def service(base_url: str = "http://localhost:8000", root_path: str = "", **values: Any) -> httpx.AsyncClient:
    """A client of a small app behind the settings `values`."""
    settings = Settings(**{"_env_file": None} | values)
    limiter = RateLimiter(settings)
    app = FastAPI(docs_url=None, redoc_url=None)
    install_problem_handlers(app)
    install_auth(app, settings)
    app.add_middleware(RequestLogMiddleware)

    @app.post("/submit_task", dependencies=[Depends(limiter.check)])
    @app.post("/upload", dependencies=[Depends(limiter.check)])
    @app.post(HOOK)
    @app.get("/tasks")
    @app.get("/health")
    @app.get("/docs")
    @app.get("/docs/swagger-ui.css")
    @app.get("/web/page.js")
    @app.get("/")
    async def ok() -> dict[str, bool]:
        return {"ok": True}

    @app.post("/get_node_info")
    async def get_node_info(body: dict[str, bool], request: Request) -> dict[str, bool]:
        if body.get("refresh"):
            await limiter.check(request)
        return {"ok": True}

    @app.get("/page")
    async def page() -> Response:
        return Response(
            "", headers={"Cache-Control": "max-age=60", "Content-Security-Policy": "default-src 'self'"}
        )

    transport = httpx.ASGITransport(app, root_path=root_path)
    return httpx.AsyncClient(transport=transport, base_url=base_url)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# Hosts


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8000"]
)
async def test_loopback_names_are_served(host: str) -> None:
    answer = await service().get("/tasks", headers={"Host": host})
    assert answer.json() == {"ok": True}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "192.168.1.5",
        "::1",
        "",
        "ü",
    ],
)
@pytest.mark.parametrize("path", ["/tasks", "/health", "/", "/docs", "/nowhere", HOOK])
async def test_other_names_are_told_how_to_open_up(host: str, path: str) -> None:
    answer = await service().get(path, headers=[(b"Host", host.encode())])
    assert answer.status_code == 403
    assert answer.json() == FORBIDDEN_HOST


async def test_a_request_without_a_host_is_refused() -> None:
    client = service()
    request = client.build_request("GET", "/tasks")
    del request.headers["Host"]
    answer = await client.send(request)
    assert answer.json() == FORBIDDEN_HOST


@pytest.mark.parametrize("host", ["tasks.example", "Tasks.Example:9000", "other.example", "localhost"])
async def test_allowed_hosts_are_served_at_any_port(host: str) -> None:
    client = service(allowed_hosts="tasks.example, OTHER.example:1234")
    assert (await client.get("/tasks", headers={"Host": host})).status_code == 200


async def test_a_subdomain_of_an_allowed_host_is_another_host() -> None:
    client = service(allowed_hosts="tasks.example")
    assert (await client.get("/tasks", headers={"Host": "a.tasks.example"})).json() == FORBIDDEN_HOST


async def test_a_star_allows_every_host() -> None:
    client = service(allowed_hosts="*")
    assert (await client.get("/tasks", headers={"Host": "any.example"})).status_code == 200


async def test_with_tokens_every_host_is_served() -> None:
    client = service("https://tasks.example", access_tokens=TOKENS)
    assert (await client.get("/tasks", headers=bearer("first-token"))).json() == {"ok": True}


async def test_the_webhook_alone_is_served_at_public_urls_host() -> None:
    client = service("https://tasks.example", public_url="https://tasks.example:443/rh")
    assert (await client.post(HOOK)).json() == {"ok": True}
    assert (await client.get("/tasks")).json() == FORBIDDEN_HOST
    assert (await client.post(HOOK, headers={"Host": "evil.example"})).json() == FORBIDDEN_HOST


# Tokens


@pytest.mark.parametrize("token", ["first-token", "second-töken"])
async def test_each_of_several_tokens_opens(token: str) -> None:
    headers = [(b"Authorization", f"bearer  {token} ".encode())]
    answer = await service(access_tokens=TOKENS).get("/tasks", headers=headers)
    assert answer.json() == {"ok": True}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer first-toke",
        "Bearer first-token2",
        "Bearer FIRST-TOKEN",
        "Bearer first-token,second-token",
        "Basic first-token",
        "first-token",
    ],
)
async def test_anything_else_is_unauthorized(authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await service(access_tokens=TOKENS).get("/tasks", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json() == UNAUTHORIZED


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks"),
        ("POST", "/submit_task"),
        ("POST", "/upload"),
        ("GET", "/nowhere"),
        ("GET", "/healthy"),
        ("GET", "/webhooks/other"),
        ("OPTIONS", "/tasks"),
    ],
)
async def test_a_route_needs_a_token(method: str, path: str) -> None:
    answer = await service(access_tokens=TOKENS).request(method, path)
    assert answer.json() == UNAUTHORIZED


@pytest.mark.parametrize(
    "path", ["/", "/health", "/web/page.js", "/docs", "/docs/swagger-ui.css", "/openapi.json"]
)
async def test_the_page_its_files_health_and_docs_need_none(path: str) -> None:
    assert (await service(access_tokens=TOKENS).get(path)).status_code == 200


async def test_the_webhook_needs_no_token() -> None:
    assert (await service(access_tokens=TOKENS).post(HOOK)).json() == {"ok": True}


async def test_public_paths_are_public_under_a_root_path() -> None:
    client = service(access_tokens=TOKENS, root_path="/rh")
    assert (await client.get("/rh/health")).json() == {"ok": True}
    assert (await client.get("/rh/tasks")).json() == UNAUTHORIZED


async def test_a_token_in_the_query_opens_nothing() -> None:
    answer = await service(access_tokens=TOKENS).get("/tasks?token=first-token&access_token=first-token")
    assert answer.json() == UNAUTHORIZED


def test_the_document_names_the_bearer_scheme_and_the_open_routes() -> None:
    document: dict[str, Any] = {"paths": {"/tasks": {"get": {}}, "/health": {"get": {}}}}
    document_bearer(document)
    assert document == {
        "paths": {"/tasks": {"get": {}}, "/health": {"get": {"security": []}}},
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "security": [{"bearer": []}],
    }


# Origins


@pytest.mark.parametrize(
    "origin", ["http://localhost:5173", "https://localhost", "http://127.0.0.1:3000", "http://[::1]:8080"]
)
async def test_loopback_origins_may_call_by_default(origin: str) -> None:
    answer = await service().post("/submit_task", headers={"Origin": origin})
    assert answer.json() == {"ok": True}
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-expose-headers"] == "Location, Retry-After, X-Request-ID"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://localhost:5173.evil.example",
        "http://evil.example/localhost",
        "null",
        "file://",
    ],
)
@pytest.mark.parametrize("path", ["/submit_task", "/upload"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=x", "application/json"]
)
async def test_a_foreign_page_may_not_post(origin: str, path: str, content_type: str) -> None:
    headers = {"Origin": origin, "Content-Type": content_type}
    answer = await service().post(path, headers=headers, content=b"{}")
    assert answer.status_code == 403
    assert answer.json() == FORBIDDEN_ORIGIN
    assert "access-control-allow-origin" not in answer.headers


async def test_a_null_origin_is_foreign_even_without_a_host() -> None:
    client = service(allowed_hosts="*")
    request = client.build_request("POST", "/upload", headers={"Origin": "null"})
    del request.headers["Host"]
    assert (await client.send(request)).json() == FORBIDDEN_ORIGIN


async def test_a_cross_site_post_that_hides_its_origin_is_refused() -> None:
    answer = await service().post("/upload", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.json() == FORBIDDEN_ORIGIN


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}])
async def test_programs_and_the_own_page_may_post(headers: dict[str, str]) -> None:
    assert (await service().post("/upload", headers=headers)).json() == {"ok": True}


@pytest.mark.parametrize("origin", ["https://tasks.example:8443", "http://tasks.example:8443"])
async def test_the_own_origin_may_post_behind_a_tls_proxy(origin: str) -> None:
    client = service("http://tasks.example:8443", allowed_hosts="tasks.example")
    assert (await client.post("/upload", headers={"Origin": origin})).json() == {"ok": True}


async def test_another_port_of_the_own_host_is_another_origin() -> None:
    client = service("http://tasks.example", allowed_hosts="tasks.example")
    answer = await client.post("/upload", headers={"Origin": "http://tasks.example:81"})
    assert answer.json() == FORBIDDEN_ORIGIN


async def test_cors_origins_replace_the_loopback_origins() -> None:
    client = service(cors_origins="https://shop.example")
    shop = await client.post("/submit_task", headers={"Origin": "https://shop.example"})
    assert shop.headers["access-control-allow-origin"] == "https://shop.example"
    local = await client.post("/submit_task", headers={"Origin": "http://localhost:5173"})
    assert local.json() == FORBIDDEN_ORIGIN


async def test_runninghubs_webhook_may_carry_any_origin() -> None:
    assert (await service().post(HOOK, headers={"Origin": "https://www.runninghub.cn"})).json() == {
        "ok": True
    }


async def test_a_foreign_page_may_follow_a_link_here_but_cannot_read_the_answer() -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = await service().get("/tasks", headers=headers)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_a_valid_token_counts_whatever_origin_a_front_ends_proxy_passes_on() -> None:
    headers = {**bearer("first-token"), "Origin": "https://shop.example"}
    assert (await service(access_tokens=TOKENS).post("/upload", headers=headers)).json() == {"ok": True}


async def test_a_foreign_page_without_a_token_is_unauthorized() -> None:
    answer = await service(access_tokens=TOKENS).post("/upload", headers={"Origin": "https://evil.example"})
    assert answer.json() == UNAUTHORIZED


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
    assert answer.headers["access-control-allow-methods"] == "GET, POST"


@pytest.mark.parametrize(
    "headers",
    [
        preflight("https://evil.example"),
        preflight("http://localhost:5173", method="DELETE"),
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


# Headers


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


# Rates


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
