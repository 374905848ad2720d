"""SIGTERM ends the process within 15 s, whatever it waits for, and no accepted task is lost."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import connect

from tests.attack.test_pools import attackers, refused_upload
from tests.faults.calls import SUBMISSION, Board, all_tasks, raw, submit, until
from tests.postgres_server import RunningServer
from tests.processes import STOP_TIMEOUT_S, Running, start_service

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

TOKEN = "the-operators-own-token"
SLOW = {"RUNNINGHUB_TIMEOUT_S": "60", "POLL_INTERVAL_S": "0.1", "OUTPUTS_URL": "none"}
# A JWT whose head names a key that nobody knows.
OF_UNKNOWN_KEY = "eyJhbGciOiJSUzI1NiIsImtpZCI6InVua25vd24ifQ.e30.e30"
# More than a connection's buffers hold.
FILE_MB = 40
POLLS = 300
# Until all requests have arrived, and their responses are stuck.
PAUSE_S = 1.0


async def stop(service: Running) -> None:
    """Raises TimeoutExpired where it takes longer than `STOP_TIMEOUT_S`."""
    service.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(service.process.wait, STOP_TIMEOUT_S)
    assert "Traceback" not in service.log.read_text()


async def assert_all_are_there(board: Board, database: Path, accepted: list[str]) -> None:
    board.reset()
    with start_service(board.url, database, env=SLOW) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            assert {task["id"] for task in await all_tasks(client)} >= set(accepted)


@pytest.mark.parametrize("workers", [1, 2])
async def test_sigterm_while_all_pools_are_full_ends_every_worker_and_loses_no_task(
    board: Board, tmp_path: Path, workers: int
) -> None:
    board.set(faults={"outputs": {"kind": "hang"}})
    with (
        start_service(board.url, tmp_path / "tasks.db", env=SLOW, workers=workers) as service,
        attackers(service.url, uploads=256, polls=POLLS, webhooks=4),
    ):
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            await refused_upload(client)
            accepted = [await submit(client) for _ in range(5)]
            await until(lambda: board.counters()["calls"].get("outputs", 0) > POLLS / 2)
            await stop(service)
    await assert_all_are_there(board, tmp_path / "tasks.db", accepted)


@asynccontextmanager
async def hanging_server() -> AsyncIterator[str]:
    """Accepts connections and never responds."""
    writers: list[asyncio.StreamWriter] = []

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            await asyncio.gather(*map(closed, writers))


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def held(service: Running, request: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A connection whose client reads a few bytes of the response at most."""
    with socket.socket() as small:
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.connect(("127.0.0.1", httpx.URL(service.url).port))
        reader, writer = await asyncio.open_connection(sock=small, limit=1024)
        writer.write(request)
        try:
            yield reader
        finally:
            await closed(writer)


@pytest.mark.parametrize("outputs", ["file:outputs", "s3://bucket"])
async def test_sigterm_is_obeyed_while_everything_else_hangs(
    board: Board, tmp_path: Path, outputs: str
) -> None:
    """Streams, a WebSocket, a slow reader, a webhook's receiver, copies, forms, the keys for JWTs."""
    board.set(files_megabytes=FILE_MB)
    bearer = f"Authorization: Bearer {TOKEN}"
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(hanging_server())
        env = {
            **SLOW,
            "OUTPUTS_URL": outputs,
            "ACCESS_TOKENS": TOKEN,
            "WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            "WEBHOOK_URL": receiver,
            "WEBHOOK_ALLOW_PRIVATE": "true",
            "JWT_JWKS_URL": receiver,
            "AWS_ENDPOINT_URL": receiver,
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }
        service = stack.enter_context(start_service(board.url, tmp_path / "tasks.db", env=env))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=service.url, timeout=60, headers={"Authorization": f"Bearer {TOKEN}"})
        )
        ended = await submit(client)
        outputs_of = f"/tasks/{ended}/outputs"
        while not (task := (await client.get(f"/tasks/{ended}?wait=10")).json())["outputs"]:
            assert task["status"] != "FAILED"
        board.set(files_bytes_per_second=1, run_time=600)
        running = await submit(client)
        shown = (await client.get(f"/tasks/{running}")).json()
        body = {"apiKey": TOKEN, "taskId": shown["runninghub_task_id"]}
        reply = (await client.post("/task/openapi/outputs", json=body)).json()
        websocket = await connect(reply["data"]["netWssUrl"])
        stack.push_async_callback(websocket.wait_closed)
        board.set(faults={"apiCallDemo": {"kind": "hang"}, "outputs": {"kind": "hang"}})
        for request in (
            raw("GET", task["outputs"][0]["url"], bearer),
            raw("GET", f"{outputs_of}.zip", bearer),
            raw("GET", f"/tasks/{running}/events", bearer),
            raw("POST", "/get_node_info", bearer, body=b'{"webappId": "1", "refresh": true}'),
            raw("POST", "/task/query_task_status", bearer, body=b'{"taskId": "%b"}' % running.encode()),
            raw("GET", "/tasks", f"Authorization: Bearer {OF_UNKNOWN_KEY}"),
        ):
            await stack.enter_async_context(held(service, request))
        await asyncio.sleep(PAUSE_S)
        await stop(service)


@pytest.fixture
def database_url(postgres_server: RunningServer) -> Iterator[str]:
    with postgres_server.database() as url:
        yield url


class Relay:
    """A connection to a server that may fall silent: nothing passes then, and nothing is closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._passing: set[asyncio.Task[None]] = set()
        self.is_silent = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as server:
            try:
                yield server.sockets[0].getsockname()[1]
            finally:
                for passing in self._passing:
                    passing.cancel()
                await asyncio.gather(*self._passing, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._port)
        for source, target in ((reader, upstream), (upstream_reader, writer)):
            self._passing.add(asyncio.create_task(self._pass(source, target)))

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while chunk := await source.read(65_536):
                    if self.is_silent:
                        await asyncio.Event().wait()
                    target.write(chunk)
        finally:
            await closed(target)


async def test_sigterm_is_obeyed_while_the_database_server_is_silent_and_a_paid_call_hangs(
    board: Board, tmp_path: Path, database_url: str
) -> None:
    address = httpx.URL(database_url)
    relay = Relay(address.port or 0)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(relay.running())
        env = {**SLOW, "SECRET_KEY": "k" * 32, "DATABASE_URL": str(address.copy_with(port=port))}
        starting = start_service(board.url, tmp_path / "none", env=env)
        service = await asyncio.to_thread(stack.enter_context, starting)  # the relay runs here
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=service.url, timeout=60))
        accepted = await submit(client)
        board.set(faults={"run": {"kind": "hang"}})
        hanging = asyncio.create_task(client.post("/submit_task", json=SUBMISSION))
        await until(lambda: board.runs_called() == 2)
        relay.is_silent = True
        reading = asyncio.create_task(client.get(f"/tasks/{accepted}"))
        await stop(service)
        await asyncio.gather(hanging, reading, return_exceptions=True)
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM tasks") == 2
    await connection.close()
