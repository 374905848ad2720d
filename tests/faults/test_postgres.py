"""A PostgreSQL server that stops, moves to a standby, has no connection left, or breaks off at a commit."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.faults.calls import (
    SUBMISSION,
    Board,
    all_tasks,
    answer_of,
    ended,
    submit,
    until,
)
from tests.faults.proxy import Break, Proxy, proxy_to
from tests.postgres_server import RunningServer, start_own_postgres
from tests.processes import Running, start_service

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

NO_DATABASE = (503, "database_unavailable")
SETTINGS = {
    "POLL_INTERVAL_S": "0.1",
    "POLL_INTERVAL_MAX_S": "0.5",
    "OUTPUTS_URL": "none",
    "SECRET_KEY": "k" * 32,
}
SERVER_STOPS_S = 30


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server that tests may stop."""
    with start_own_postgres() as server:
        yield server


@pytest.fixture
def database(server: RunningServer) -> Iterator[str]:
    with server.database() as url:
        yield url


@pytest.fixture
async def proxy(server: RunningServer) -> AsyncIterator[Proxy]:
    async with proxy_to(server.port) as proxy:
        yield proxy


@asynccontextmanager
async def instance(board: Board, folder: Path, url: str) -> AsyncIterator[tuple[httpx.AsyncClient, Running]]:
    """A service on `url`. Started in a thread, as this one's event loop may be what it connects through."""
    env = SETTINGS | {"DATABASE_URL": url}
    with ExitStack() as stack:
        service = await asyncio.to_thread(
            stack.enter_context, start_service(board.url, folder / "tasks.db", env=env)
        )
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            yield client, service
        await asyncio.to_thread(stack.close)


async def until_it_is_back(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(SERVER_STOPS_S):
        while (await client.get("/health")).status_code != 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


async def assert_unavailable(client: httpx.AsyncClient) -> None:
    """A submit, and the list of tasks, are refused as the contract says."""
    assert answer_of(await client.post("/submit_task", json=SUBMISSION)) == NO_DATABASE
    assert answer_of(await client.get("/tasks")) == NO_DATABASE
    assert (await client.get("/health")).status_code == 503


async def all_ended(client: httpx.AsyncClient) -> list[str]:
    """The statuses of all tasks, when they are final."""
    return [(await ended(client, task["id"]))["status"] for task in await all_tasks(client)]


@pytest.mark.parametrize("way", ["fast", "kill"])
async def test_what_a_paid_call_returned_while_the_server_was_gone_is_stored_when_it_is_back(
    board: Board, server: RunningServer, database: str, tmp_path: Path, way: str
) -> None:
    board.set(run_latency=2)
    async with instance(board, tmp_path, database) as (client, _):
        submitting = asyncio.create_task(client.post("/submit_task", json=SUBMISSION))
        await until(board.runs_called)
        stop = server.kill if way == "kill" else lambda: server.stop(way)
        await asyncio.to_thread(stop)
        try:
            await until(lambda: board.counters()["runs_accepted"])
            await assert_unavailable(client)
        finally:
            await asyncio.to_thread(server.start)
        await until_it_is_back(client)
        await submitting
        assert await all_ended(client) == ["SUCCESS"]
        assert (await ended(client, await submit(client)))["status"] == "SUCCESS"
    assert board.runs_called() == 2


@pytest.mark.parametrize("moment", Break)
async def test_an_outcome_whose_commit_breaks_off_is_stored_and_paid_for_once(
    board: Board, proxy: Proxy, database: str, tmp_path: Path, moment: Break
) -> None:
    board.set(run_latency=0.5)

    def is_outcome_broken() -> bool:
        ids = [task_id.encode() for task_id in board.tasks()]
        return any(task_id in sent for task_id in ids for sent in proxy.broken)

    async with instance(board, tmp_path, proxy.address(database)) as (client, _):
        submitting = asyncio.create_task(client.post("/submit_task", json=SUBMISSION))
        await until(board.runs_called)
        proxy.breaks = moment
        await until(is_outcome_broken)
        proxy.breaks = None
        await submitting
        await until_it_is_back(client)
        assert await all_ended(client) == ["SUCCESS"]
    assert board.runs_called() == 1


@pytest.mark.parametrize("moment", Break)
async def test_a_submit_whose_commit_breaks_off_is_repeated_with_its_key_and_paid_for_once(
    board: Board, proxy: Proxy, database: str, tmp_path: Path, moment: Break
) -> None:
    key = {"Idempotency-Key": "once"}
    async with instance(board, tmp_path, proxy.address(database)) as (client, _):
        proxy.breaks = moment
        broken = await client.post("/submit_task", json=SUBMISSION, headers=key)
        proxy.breaks = None
        assert answer_of(broken) == NO_DATABASE
        await until_it_is_back(client)
        repeated = await client.post("/submit_task", json=SUBMISSION, headers=key)
        assert repeated.status_code in {200, 202}
        assert await all_ended(client) == ["SUCCESS"]
    assert board.runs_called() == 1


async def test_a_network_that_fails_again_and_again_loses_and_repeats_nothing(
    board: Board, proxy: Proxy, database: str, tmp_path: Path
) -> None:
    board.set(run_latency=0.05)
    accepted = []
    async with instance(board, tmp_path, proxy.address(database)) as (client, _):
        for _ in range(8):
            calls = [client.post("/submit_task", json=SUBMISSION) for _ in range(5)]
            submitting = asyncio.gather(*calls)
            await asyncio.sleep(0.05)
            proxy.cut()
            accepted += [answer.json()["task_id"] for answer in await submitting if answer.status_code == 202]
        await until_it_is_back(client)
        for task_id in accepted:
            assert (await ended(client, task_id))["status"] == "SUCCESS"
        statuses = await all_ended(client)
    assert set(statuses) == {"SUCCESS"}
    assert board.runs_called() == len(statuses) >= len(accepted)


async def test_a_used_up_pool_is_a_503_and_what_was_paid_for_meanwhile_is_stored_later(
    board: Board, database: str, tmp_path: Path
) -> None:
    board.set(run_latency=1)
    blocker = await asyncpg.connect(database)
    async with instance(board, tmp_path, f"{database}?pool_size=4") as (client, _):
        submitting = asyncio.create_task(client.post("/submit_task", json=SUBMISSION))
        await until(board.runs_called)
        # Whatever reads or writes a task waits, each on a connection of the pool.
        await blocker.execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        calls = [client.get("/tasks") for _ in range(8)]
        calls += [client.post("/submit_task", json=SUBMISSION) for _ in range(4)]
        answers = await asyncio.gather(*calls)
        assert {answer_of(answer) for answer in answers} == {NO_DATABASE}
        details = {answer.json()["detail"] for answer in answers}
        assert any("all connections to it are in use" in detail for detail in details)
        assert board.counters()["runs_accepted"] == 1
        await blocker.execute("ROLLBACK")
        await blocker.close()
        await until_it_is_back(client)
        await submitting
        assert "SUBMIT_UNKNOWN" not in (statuses := await all_ended(client))
        assert set(statuses) == {"SUCCESS"}
    assert board.runs_called() == len(statuses)


@pytest.fixture
def standby(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """It takes over from `server`, which the test kills."""
    with server.standby(is_synchronous=request.param == "synchronous") as standby:
        yield standby
        if not server.is_running():
            server.start()


async def until_writable(client: httpx.AsyncClient) -> str:
    """Submit until it is accepted."""
    async with asyncio.timeout(SERVER_STOPS_S):
        while (response := await client.post("/submit_task", json=SUBMISSION)).status_code != 202:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return str(response.json()["task_id"])


@pytest.mark.parametrize("standby", ["synchronous"], indirect=True)
async def test_a_synchronous_standby_takes_over_without_a_loss(
    board: Board,
    proxy: Proxy,
    server: RunningServer,
    database: str,
    standby: RunningServer,
    tmp_path: Path,
) -> None:
    async with instance(board, tmp_path, proxy.address(database)) as (client, _):
        first = await submit(client)
        await ended(client, first)
        board.set(run_latency=2)
        submitting = asyncio.create_task(client.post("/submit_task", json=SUBMISSION))
        await until(lambda: board.runs_called() == 2)
        await asyncio.to_thread(server.kill)
        proxy.target_port = standby.port
        await until(lambda: board.counters()["runs_accepted"] == 2)
        assert answer_of(await client.post("/submit_task", json=SUBMISSION)) == NO_DATABASE
        await asyncio.to_thread(standby.promote)
        board.set(run_latency=0)
        last = await until_writable(client)
        await submitting
        assert await all_ended(client) == ["SUCCESS"] * 3
        assert {first, last} < {task["id"] for task in await all_tasks(client)}
    assert board.runs_called() == 3


@pytest.mark.parametrize("standby", ["asynchronous"], indirect=True)
async def test_the_log_names_the_run_of_a_task_that_a_lagging_standby_lost_and_all_others_go_on(
    board: Board,
    proxy: Proxy,
    server: RunningServer,
    database: str,
    standby: RunningServer,
    tmp_path: Path,
) -> None:
    async with instance(board, tmp_path, proxy.address(database)) as (client, service):
        first = await submit(client)
        await ended(client, first)
        await asyncio.to_thread(
            standby.wait_until, f"SELECT pg_last_wal_replay_lsn() >= '{await position(server)}'"
        )
        await asyncio.to_thread(standby.stop_receiving)
        board.set(run_latency=2)
        submitting = asyncio.create_task(client.post("/submit_task", json=SUBMISSION))
        await until(lambda: board.runs_called() == 2)
        (lost,) = {task["id"] for task in await all_tasks(client)} - {first}
        await asyncio.to_thread(server.kill)
        proxy.target_port = standby.port
        await asyncio.to_thread(standby.promote)
        board.set(run_latency=0)
        last = await until_writable(client)
        await submitting
        assert await all_ended(client) == ["SUCCESS"] * 2
        tasks = await all_tasks(client)
        assert {task["id"] for task in tasks} == {first, last}
        (run,) = set(board.tasks()) - {task["runninghub_task_id"] for task in tasks}
        lines = service.log.read_text().splitlines()
        assert any(lost in line and run in line for line in lines)
    assert board.runs_called() == 3


async def position(server: RunningServer) -> str:
    """How far the server's log of changes is."""
    connection = await asyncpg.connect(server.url)
    try:
        return str(await connection.fetchval("SELECT CAST(pg_current_wal_lsn() AS text)"))
    finally:
        await connection.close()
