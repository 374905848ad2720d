"""GET /account, GET /health, GET /ready and GET /docs."""

import asyncio
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from main import create_app
from models import TaskStatus
from tests.api.routes.calls import TIME, Board, Service, assert_problem, submit, until
from tests.conftest import settings_with
from tests.processes import API_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


async def test_the_account_has_its_five_members_and_no_key(shared: httpx.AsyncClient, board: Board) -> None:
    response = await shared.get("/account")
    assert (response.status_code, response.json()) == (
        200,
        {
            "remainCoins": "99999",
            "currentTaskCounts": "0",
            "remainMoney": None,
            "currency": None,
            "apiType": "NORMAL",
        },
    )
    assert await board.sent("accountStatus") == {"apikey": True}
    data = {"remainCoins": "1", "currentTaskCounts": "2", "apikey": API_KEY, "userName": "x"}
    await board.fault("accountStatus", "code", code=0, msg="success", data=data)
    assert (await shared.get("/account")).json() == {
        "remainCoins": "1",
        "currentTaskCounts": "2",
        "remainMoney": None,
        "currency": None,
        "apiType": None,
    }


async def test_health_counts_the_tasks_of_every_status(client: httpx.AsyncClient) -> None:
    answer = await submit(client)
    await until(client, answer["task_id"], "SUCCESS")
    response = await client.get("/health")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "database": "ok",
        "runninghub": "configured",
        "reason": None,
        "watch": "ok",
        "watch_last_beat": TIME,
        "runninghub_last_answer": {"at": TIME, "upstream_code": "0"},
        "outputs": "ok",
        "tasks": dict.fromkeys(TaskStatus, 0) | {"SUCCESS": 1},
    }


async def test_health_says_when_no_key_is_set_and_the_service_still_reads(
    service: Service,
) -> None:
    async with service(runninghub_api_key=None) as client:
        health = await client.get("/health")
        assert (health.status_code, health.json()["runninghub"]) == (200, "not_configured")
        assert (await client.get("/tasks")).status_code == 200
        assert (await client.get("/docs")).status_code == 200


@pytest.mark.parametrize("fault", ["http_502_html", "empty", "lost_reply"])
async def test_health_says_when_runninghub_is_unreachable(
    client: httpx.AsyncClient, board: Board, fault: str
) -> None:
    await board.fault("*", fault)  # all calls: one in the background must not be the last to succeed
    assert (await client.get("/account")).status_code in {503, 504}
    health = await client.get("/health")
    assert (health.status_code, health.json()["runninghub"]) == (200, "unreachable")
    await board.set(faults={})
    await client.get("/account")
    assert (await client.get("/health")).json()["runninghub"] == "configured"


async def test_health_is_503_when_the_database_is_lost(service: Service) -> None:
    async with service() as client:
        (service.directory / "tasks.db").unlink()
        response = await client.get("/health")
        assert response.status_code == 503
        assert (response.json()["status"], response.json()["database"]) == ("unavailable", "unavailable")
        assert response.json()["reason"]


async def test_an_instance_is_ready_until_its_database_is_lost(service: Service) -> None:
    async with service() as client:
        response = await client.get("/ready")
        assert (response.status_code, response.json()) == (200, {"status": "ready"})
        (service.directory / "tasks.db").unlink()
        response = await client.get("/ready")
        assert_problem(response, "not_ready", 503)
        assert response.headers["retry-after"] == "1"


@pytest.fixture
def server_handler() -> Iterator[None]:
    """SIGTERM as a server has it, to which the service adds its own."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("server_handler")
async def test_an_instance_is_not_ready_as_soon_as_it_is_told_to_stop(
    simulator_url: str, tmp_path: Path
) -> None:
    settings = {"runninghub_base_url": simulator_url, "database_url": f"sqlite:///{tmp_path}/tasks.db"}
    app = create_app(settings_with(**settings))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0)
        response = await client.get("/ready")
    assert_problem(response, "not_ready", 503)
    assert response.json()["detail"].startswith("This instance is stopping")


async def test_the_docs_load_nothing_from_another_host(shared: httpx.AsyncClient) -> None:
    page = await shared.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert addresses
    for address in addresses:
        assert address.startswith(("/", "data:"))
        assert not address.startswith("//")
        if address.startswith("/"):
            assert (await shared.get(address)).status_code == 200
