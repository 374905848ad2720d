"""Authentication: which hosts, tokens and origins are accepted."""

import pytest

from tests.api.small_service import (
    FORBIDDEN_HOST,
    FORBIDDEN_ORIGIN,
    HOOK,
    TOKENS,
    UNAUTHORIZED,
    bearer,
    service,
)

pytestmark = pytest.mark.anyio

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
    "path", ["/", "/health", "/ready", "/web/page.js", "/docs", "/docs/swagger-ui.css", "/openapi.json"]
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


# Origins


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


async def test_runninghubs_webhook_may_carry_any_origin() -> None:
    assert (await service().post(HOOK, headers={"Origin": "https://www.runninghub.cn"})).json() == {
        "ok": True
    }


async def test_a_valid_token_counts_whatever_origin_a_front_ends_proxy_passes_on() -> None:
    headers = {**bearer("first-token"), "Origin": "https://shop.example"}
    assert (await service(access_tokens=TOKENS).post("/upload", headers=headers)).json() == {"ok": True}


async def test_a_foreign_page_without_a_token_is_unauthorized() -> None:
    answer = await service(access_tokens=TOKENS).post("/upload", headers={"Origin": "https://evil.example"})
    assert answer.json() == UNAUTHORIZED
