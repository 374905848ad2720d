"""What the core's tests share: a clock that stands still, a real database, RunningHub at the transport."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from config import Settings
from database import Added, Database
from db.sqlite import SqliteFile
from forms.cache import FormCache
from models import NewTask, Task, TaskStatus
from runninghub.accounts import Account, Accounts
from runninghub.client import Pools, create_client
from secret_key import SecretKey
from services import build
from task_service import TaskService
from tasks.account_monitor import AccountMonitor
from tasks.run_times import RunTimes
from tasks.submit_limiter import AccountLimits, SubmitPlanner
from tasks.submitter import Submitter
from tests.empty_database import create_database
from tests.postgres_server import RunningServer, empty, start_postgres
from tests.settings import GivenSettings
from transitions import Accepted
from webapp_service import WebappService

pytest_plugins = ["tests.no_skips", "tests.order", "tests.log_capture"]

API_KEY = "0123456789abcdef0123456789abcdef"
RUNNINGHUB_URL = "http://runninghub.test"
WEBAPP_ID = "1992755951447109633"
NODE = {"nodeId": "15", "fieldName": "text", "fieldType": "STRING", "fieldValue": "a cat"}
PATIENCE_S = 5.0
# One account whose limit is known, so that what is added may start at once.
FINGERPRINT = "fingerprint-of-the-key"
PLANNER = SubmitPlanner((AccountLimits("default", RUNNINGHUB_URL, FINGERPRINT, max_concurrent=1000),))
RESPONDING = frozenset({"default"})


class Clock:
    """Milliseconds since 1970 that pass when a test says so."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms

    def go_on(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


class RunningHub:
    """The calls that RunningHub has, and what each answers; unless told otherwise all goes well."""

    def __init__(self, router: respx.MockRouter) -> None:
        self.form = router.get("/api/webapp/apiCallDemo")
        self.upload = router.post("/task/openapi/upload")
        self.run = router.post("/task/openapi/ai-app/run")
        self.outputs = router.post("/task/openapi/outputs")
        self.cancel = router.post("/task/openapi/cancel")
        self.account = router.post("/uc/openapi/accountStatus")
        self.queue = router.get("/openapi/v2/queue/status")
        self.create = router.post("/task/openapi/create")
        self.workflow = router.post("/api/openapi/getJsonApiFormat")
        self._last_id = 1994070439827980000
        self.form.respond(json=answer(0, {"webappName": "An app", "nodeInfoList": [NODE]}))
        self.run.side_effect = lambda _: httpx.Response(200, json=self.accepted())
        self.outputs.respond(json=answer(804))
        self.cancel.respond(json=answer(0))
        self.create.side_effect = lambda _: httpx.Response(200, json=self.accepted())
        self.account.respond(json=answer(0, {"remainCoins": "1000", "currentTaskCounts": "0"}))
        self.queue.respond(json=answer(0, {"concurrentLimit": "50"}))

    def accepted(self, task_status: str = "RUNNING", **members: Any) -> dict[str, Any]:
        """Another task taken."""
        self._last_id += 1
        return answer(0, {"taskId": str(self._last_id), "taskStatus": task_status, **members})


def answer(code: int, data: Any = None, msg: str = "") -> dict[str, Any]:
    """RunningHub's envelope."""
    return {"code": code, "msg": msg or ("success" if code == 0 else f"CODE_{code}"), "data": data}


@dataclass(frozen=True, slots=True)
class Core:
    """The service without its routes and its loops."""

    settings: Settings
    database: Database
    accounts: Accounts
    monitor: AccountMonitor
    webapps: WebappService
    forms: FormCache
    run_times: RunTimes
    secret: SecretKey
    submitter: Submitter
    tasks: TaskService

    @property
    def account(self) -> Account:
        return self.accounts.first


MakeCore = Callable[..., AbstractAsyncContextManager[Core]]


def settings_with(**values: Any) -> Settings:
    """Settings for a RunningHub of the tests, by their names in small letters."""
    account = {"runninghub_api_key": API_KEY, "runninghub_base_url": RUNNINGHUB_URL}
    defaults = {} if "runninghub_accounts" in values else account
    return GivenSettings(**defaults | {"_env_file": None} | values)


def new_task(number: int = 1, **members: Any) -> NewTask:
    return NewTask(**{"id": f"task-{number}", "webapp_id": WEBAPP_ID, "node_info": [NODE]} | members)


async def add(database: Database, number: int = 1, **members: Any) -> Task:
    """A stored task; its account has free slots, so that its paid call is due."""
    added = await database.add_task(
        new_task(number, **members), max_pending=1000, planner=PLANNER, responding=RESPONDING
    )
    assert isinstance(added, Added)
    return await stored(database, added.task.id)


async def add_waiting(database: Database, number: int = 1, **members: Any) -> Task:
    """A stored task that waits: no account is configured."""
    added = await database.add_task(
        new_task(number, **members), max_pending=1_000_000, planner=SubmitPlanner(())
    )
    assert isinstance(added, Added)
    return added.task


async def stored(database: Database, task_id: str = "task-1") -> Task:
    task = await database.task(task_id)
    assert task is not None
    return task


async def at_runninghub(
    database: Database, number: int = 1, status: TaskStatus = TaskStatus.RUNNING, **members: Any
) -> Task:
    """A task that RunningHub accepted with the id `1000 + number`; its poll is due."""
    task = await add(database, number, **members)
    accepted = Accepted(
        task.attempt, str(1000 + number), status is TaskStatus.RUNNING, None, next_poll_ms=database.clock()
    )
    changed = await database.store(task.id, accepted)
    assert changed is not None
    return changed


async def execute(database: Database, sql: str, **parameters: object) -> None:
    """Change rows as nobody in the service does."""
    await database.engine.write(lambda connection: connection.execute_fetchall(sql, parameters))


def sqlite_file(database: Database) -> SqliteFile:
    """For what only this engine has."""
    assert isinstance(database.engine, SqliteFile)
    return database.engine


async def until(is_so: Callable[[], bool]) -> None:
    """Let others work until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - what a thread or the service does sets no event of ours
            await asyncio.sleep(0.001)


async def until_status(database: Database, status: TaskStatus, task_id: str = "task-1") -> Task:
    async with asyncio.timeout(PATIENCE_S):
        while (task := await database.task(task_id)) is None or task.status is not status:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    return task


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `both_engines` runs on SQLite and on PostgreSQL, unless it is marked `sqlite_only`."""
    marker = metafunc.definition.get_closest_marker
    if "location" in metafunc.fixturenames and marker("both_engines") and not marker("sqlite_only"):
        metafunc.parametrize("location", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[RunningServer]:
    with start_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: RunningServer) -> Iterator[str]:
    """The address of a database that has the service's schema."""
    with postgres_server.database() as url:
        asyncio.run(_migrate(url))
        yield url


async def _migrate(url: str) -> None:
    async with Database(url):
        pass


@pytest.fixture
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where this test's database is; the engine is in `request.param`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        create_database(tmp_path / "tasks.db")
        yield str(tmp_path / "tasks.db")
    else:
        url = request.getfixturevalue("migrated_postgres")
        empty(url)  # a tenth of the time that a new database takes
        yield url


@pytest.fixture
async def database(location: str, clock: Clock) -> AsyncIterator[Database]:
    async with Database(location, clock=clock) as database:
        yield database


@pytest.fixture(scope="session")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """The service's own kind of client, one for all tests."""
    async with create_client(30) as client:
        yield client


@pytest.fixture
def runninghub() -> Iterator[RunningHub]:
    with respx.mock(base_url=RUNNINGHUB_URL, using="httpx", assert_all_called=False) as router:
        yield RunningHub(router)


@pytest.fixture
def make_core(
    database: Database, tmp_path: Path, client: httpx.AsyncClient, runninghub: RunningHub
) -> MakeCore:
    """The core on this test's database; settings by their names in small letters."""

    @asynccontextmanager
    async def make(*, monotonic: Callable[[], float] = time.monotonic, **values: Any) -> AsyncIterator[Core]:
        settings = settings_with(**values)
        secret = SecretKey.next_to(str(tmp_path / "tasks.db"))
        built = build(settings, secret, database, Pools(client, client, client), monotonic=monotonic)
        for account in built.accounts.all:
            account.client.responsiveness.answered()
        yield Core(
            settings,
            database,
            built.accounts,
            built.monitor,
            built.webapps,
            built.forms,
            built.run_times,
            secret,
            built.submitter,
            built.tasks,
        )
        await built.forms.close()
        await built.submitter.close()
        await built.webapps.close()

    return make


@pytest.fixture
async def core(make_core: MakeCore) -> AsyncIterator[Core]:
    async with make_core() as core:
        yield core
