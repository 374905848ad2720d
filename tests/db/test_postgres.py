"""What only PostgreSQL has: several instances at once, its schema, its clock, and a server that goes away."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing

import asyncpg
import pytest

import db.postgres
from database import Added, Database
from db import metric_queries, output_queries, queries, user_queries, webhook_queries
from db.engine import Connection, DatabaseRefused
from db.migrations import MIGRATIONS
from db.postgres import NO_DRIVER, PostgresServer, reason_of
from db.postgres_migrations import MIGRATIONS as POSTGRES_MIGRATIONS
from db.postgres_sql import translated
from errors import DatabaseUnavailable
from models import CancelReason, NewOutput, OutputState, UserLimits
from models import TaskStatus as S
from tasks.submit_limiter import AccountLimits, SubmitPlanner
from tests.conftest import (
    FINGERPRINT,
    PLANNER,
    RESPONDING,
    RUNNINGHUB_URL,
    add,
    add_waiting,
    at_runninghub,
    new_task,
    stored,
)
from tests.postgres_server import RunningServer, empty, start_own_postgres
from transitions import Accepted, CancelRequested, Finished

pytestmark = pytest.mark.anyio
MODULES = (queries, metric_queries, output_queries, user_queries, webhook_queries)
BEGINNINGS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
STATEMENTS = [
    sql.format(due=queries.SELECT_DUE)
    for module in MODULES
    for name, sql in vars(module).items()
    if name.isupper() and isinstance(sql, str) and sql.lstrip().startswith(BEGINNINGS)
]
OF_SQLITE = ("/*", "*/", "json_each", "json_insert", "CROSS JOIN")
TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('queue_counts', 'sqlite_sequence')"
)
COLUMNS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
THREE_AT_ONCE = SubmitPlanner((AccountLimits("default", RUNNINGHUB_URL, FINGERPRINT, max_concurrent=3),))


@pytest.fixture
def url(migrated_postgres: str) -> str:
    empty(migrated_postgres)
    return migrated_postgres


@pytest.fixture
def new(postgres_server: RunningServer) -> Iterator[str]:
    """A database without any schema."""
    with postgres_server.database() as url:
        yield url


@asynccontextmanager
async def instances(url: str, number: int) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Database(url, worker=f"instance-{place}"))
            for place in range(number)
        ]


@pytest.fixture
async def three(url: str) -> AsyncIterator[list[Database]]:
    async with instances(url, 3) as three:
        yield three


async def rows(database: Database, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await database.engine.read(sql)]


# Statements


def test_a_parameter_has_one_place_however_often_it_is_used() -> None:
    sql = "SELECT :a, :b, :a, '1:2', x::text"
    assert translated(sql) == ("SELECT $1, $2, $1, '1:2', x::text", ("a", "b"))


def test_what_stands_beside_it_takes_the_place_of_what_sqlite_has() -> None:
    assert translated("SELECT /*sqlite*/max/*postgres greatest*/(:a, 1)/*postgres  FOR UPDATE*/")[0] == (
        "SELECT greatest($1, 1) FOR UPDATE"
    )


@pytest.mark.parametrize("module", MODULES)
def test_no_statement_keeps_a_mark_or_a_function_of_sqlite(module: object) -> None:
    for name, sql in vars(module).items():
        if name.isupper() and isinstance(sql, str):
            text, _ = translated(sql)
            assert not any(word in text for word in ("/*", "*/", "json_each", "json_insert", "CROSS JOIN")), (
                name
            )


async def test_postgresql_accepts_every_statement(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for sql in STATEMENTS:
            await connection.prepare(translated(sql)[0])
    finally:
        await connection.close()
    assert len(STATEMENTS) > 60


# Schema


async def test_both_engines_have_the_same_tables_and_columns(url: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in MIGRATIONS:
            connection.executescript(script)
        tables = [name for (name,) in connection.execute(TABLES).fetchall()]
        of_sqlite = {
            (table, column[1])
            for table in tables
            for column in connection.execute(f"PRAGMA table_info({table})")
        }
    async with Database(url) as database:
        of_postgres = set(await rows(database, COLUMNS))
    assert of_sqlite - of_postgres == set()
    assert of_postgres - of_sqlite == {
        ("schema_version", "version"),
        ("task_counts", "slot"),
        ("used_webapps", "slot"),
    }
    assert max(POSTGRES_MIGRATIONS) == len(MIGRATIONS)


async def test_of_instances_that_start_at_once_one_creates_the_schema(new: str) -> None:
    async with AsyncExitStack() as stack:
        opening = [stack.enter_async_context(Database(new)) for _ in range(3)]
        databases = await asyncio.gather(*opening)
        versions = await rows(databases[0], "SELECT version FROM schema_version ORDER BY version")
    assert versions == [(version,) for version in sorted(POSTGRES_MIGRATIONS)]


async def test_a_database_of_a_newer_service_is_refused(new: str) -> None:
    newer = {**POSTGRES_MIGRATIONS, 1000: "CREATE TABLE of_the_future (id INTEGER)"}
    async with PostgresServer(new, newer):
        pass
    with pytest.raises(DatabaseRefused, match=r"^it was written by a newer version .* \(schema 1000,"):
        await Database(new).__aenter__()


async def test_a_migration_that_fails_leaves_nothing_behind(new: str) -> None:
    half = {**POSTGRES_MIGRATIONS, 1000: "CREATE TABLE notes (id INTEGER); SELECT * FROM nowhere"}
    with pytest.raises(DatabaseRefused, match="nowhere"):
        await PostgresServer(new, half).__aenter__()
    async with Database(new) as database:
        assert (await database.count_by_status())[S.PENDING] == 0
        assert await rows(database, "SELECT to_regclass('notes')") == [(None,)]


# Refused at the start


async def test_a_missing_driver_is_one_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db.postgres, "asyncpg", None)
    with pytest.raises(DatabaseRefused) as refused:
        await Database(url).__aenter__()
    assert str(refused.value) == NO_DRIVER


async def test_a_database_that_does_not_exist_is_one_line(url: str) -> None:
    with pytest.raises(DatabaseRefused, match=r"^there is no such database \([^\n]*\)$"):
        await Database(url.replace("/test_", "/missing_")).__aenter__()


async def test_a_server_that_does_not_respond_is_one_line() -> None:
    with pytest.raises(DatabaseRefused, match=r"^it cannot be reached \([^\n]*\)$"):
        await Database("postgresql://user:password@127.0.0.1:1/name").__aenter__()


@pytest.mark.parametrize("query", ["pool_size=3", "pool_size=many", "statement_cache_size=-1"])
async def test_a_wrong_number_in_the_address_is_one_line(url: str, query: str) -> None:
    with pytest.raises(DatabaseRefused, match=f"^{query.partition('=')[0]} must be a number"):
        await Database(f"{url}?{query}").__aenter__()


async def test_a_pooler_in_transaction_mode_can_be_used_without_cached_statements(url: str) -> None:
    async with Database(f"{url}?statement_cache_size=0&pool_size=4") as database:
        await at_runninghub(database)
        assert (await stored(database)).status is S.RUNNING


# Several instances


async def test_instances_together_claim_no_more_than_the_limit(three: list[Database]) -> None:
    adding = [
        database.add_task(new_task(number), max_pending=1000, planner=THREE_AT_ONCE, responding=RESPONDING)
        for number, database in enumerate(three * 8)
    ]
    added = [one for one in await asyncio.gather(*adding) if isinstance(one, Added)]
    claimed = [task.id for one in added for task in one.claimed]
    assert len(added) == 24
    assert len(claimed) == len(set(claimed)) == 3
    assert (await three[0].count_by_status())[S.SUBMITTING] == 3
    assert (await three[1].count_by_status())[S.PENDING] == 21


async def test_instances_share_due_polls_without_one_twice(three: list[Database]) -> None:
    for number in range(12):
        await at_runninghub(three[0], number)
    leased = await asyncio.gather(*(one.lease_due(lease_ms=60_000, limit=5) for one in three))
    leased.append(await three[0].lease_due(lease_ms=60_000, limit=12))  # what all others left to each other
    ids = [task.id for tasks in leased for task in tasks]
    assert len(ids) == len(set(ids)) == 12


async def test_of_the_same_idempotency_key_at_once_one_task_is_stored(three: list[Database]) -> None:
    adding = [
        database.add_task(new_task(number, idempotency_key="once"), max_pending=9, planner=PLANNER)
        for number, database in enumerate(three)
    ]
    added = await asyncio.gather(*adding)
    assert sum(isinstance(one, Added) for one in added) == 1
    assert added.count(None) == 2


async def test_instances_together_store_no_more_waiting_tasks_than_allowed(three: list[Database]) -> None:
    adding = [
        database.add_task(new_task(number), max_pending=10, planner=SubmitPlanner(()))
        for number, database in enumerate(three * 7)
    ]
    added = await asyncio.gather(*adding)
    assert sum(isinstance(one, Added) for one in added) == 10


async def test_instances_together_keep_a_users_limits(three: list[Database]) -> None:
    limits = UserLimits(tasks_per_day=5)
    adding = [
        database.add_task(
            new_task(number, owner="ann"), max_pending=1000, planner=SubmitPlanner(()), limits=limits
        )
        for number, database in enumerate(three * 5)
    ]
    added = await asyncio.gather(*adding)
    assert sum(isinstance(one, Added) for one in added) == 5


async def test_of_an_outcome_and_a_cancel_at_once_both_are_kept(three: list[Database]) -> None:
    task = await add(three[0])
    accepted = Accepted(task.attempt, "77", True, None, next_poll_ms=three[0].clock())
    await asyncio.gather(
        three[0].store(task.id, accepted),
        three[1].store(task.id, CancelRequested(CancelReason.USER)),
    )
    now = await stored(three[2])
    assert (now.status, now.runninghub_task_id, now.cancel_reason) == (S.RUNNING, "77", CancelReason.USER)


async def test_counts_stay_exact_when_many_change_them_and_processes_end(url: str) -> None:
    async with instances(url, 3) as three:
        adding = [add_waiting(database, number) for number, database in enumerate(three * 10)]
        tasks = await asyncio.gather(*adding)
        cancelling = [
            database.store(task.id, CancelRequested(CancelReason.USER))
            for database, task in zip(three * 5, tasks, strict=False)
        ]
        await asyncio.gather(*cancelling)
    async with Database(url) as database:
        await database.engine.read("SELECT merge_counts()")
        counts = await database.count_by_status()
        counted = await rows(database, "SELECT status, count(*) FROM tasks GROUP BY status ORDER BY status")
        assert counted == [("CANCELLED", 15), ("PENDING", 15)]
        assert [(status, n) for status, n in sorted(counts.items()) if n] == counted
        ((slots,),) = await rows(database, "SELECT count(*) FROM task_counts WHERE slot <> 0")
        assert slots == 0


async def test_transactions_that_wait_for_each_other_are_both_done(three: list[Database]) -> None:
    for number in (1, 2):
        await add_waiting(three[0], number)
    both_hold_one = asyncio.Barrier(2)
    runs = {1: 0, 2: 0}

    def swapped(first: int, second: int) -> object:
        async def statements(connection: Connection) -> None:
            runs[first] += 1
            sql = "UPDATE tasks SET metadata = :by WHERE id = :id"
            await connection.execute_fetchall(sql, {"by": str(first), "id": f"task-{first}"})
            if runs[first] == 1:
                await both_hold_one.wait()
            await connection.execute_fetchall(sql, {"by": str(first), "id": f"task-{second}"})

        return statements

    await asyncio.gather(
        three[0].engine.write(swapped(1, 2)),  # type: ignore[arg-type]
        three[1].engine.write(swapped(2, 1)),  # type: ignore[arg-type]
    )
    assert sum(runs.values()) == 3


async def test_a_change_by_one_instance_wakes_another(three: list[Database]) -> None:
    task = await at_runninghub(three[0])
    delays = []
    for _ in range(20):
        await asyncio.sleep(0)
        woken = asyncio.create_task(three[1].engine.wait_for_commit(5))
        await asyncio.sleep(0)
        began = time.monotonic()
        await three[0].reschedule(task, three[0].clock())
        await woken
        delays.append(time.monotonic() - began)
    assert sorted(delays)[18] < 0.3


async def test_instances_with_different_clocks_agree_on_the_time(three: list[Database]) -> None:
    clocks = [database.clock() for database in three]
    assert max(clocks) - min(clocks) < 1000
    assert abs(clocks[0] - time.time() * 1000) < 5000


# Text that PostgreSQL does not store


@pytest.mark.parametrize("ref", ["a\0b", "\ud800", "\n"])
async def test_an_id_that_cannot_exist_is_not_found(three: list[Database], ref: str) -> None:
    assert await three[0].task(ref) is None
    assert await three[0].task_by_idempotency_key("a\0b") is None


async def test_a_result_with_a_nul_character_ends_its_task(three: list[Database]) -> None:
    task = await at_runninghub(three[0])
    output = NewOutput(0, OutputState.KEPT, "text/plain", text="a\0b")
    finished = Finished(str(task.runninghub_task_id), [{"text": "a\0b"}], 1.0, None, {}, (output,))
    await three[0].store(task.id, finished)
    assert (await stored(three[1])).status is S.SUCCESS
    (kept,) = await three[1].outputs.of_task(task.id)
    assert kept.text == "a?b"


# A server that goes away


@pytest.fixture(scope="module")
def own_server() -> Iterator[RunningServer]:
    """A server that tests may stop."""
    with start_own_postgres() as server:
        yield server


@pytest.fixture
def mortal(own_server: RunningServer) -> Iterator[str]:
    with own_server.database() as url:
        yield url


@pytest.fixture
async def database(mortal: str) -> AsyncIterator[Database]:
    async with Database(mortal) as database:
        yield database


async def until_it_is_back(database: Database) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await database.count_by_status()
                return
            except DatabaseUnavailable:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("way", ["fast", "immediate", "kill"])
async def test_while_the_server_is_gone_calls_fail_and_nothing_stored_is_lost(
    database: Database, own_server: RunningServer, way: str
) -> None:
    task = await add(database)
    if way == "kill":
        own_server.kill()
    else:
        own_server.stop(way)
    with pytest.raises(DatabaseUnavailable):
        await add(database, 2)
    with pytest.raises(DatabaseUnavailable):
        await database.task(task.id)
    own_server.start()
    await until_it_is_back(database)
    accepted = Accepted(task.attempt, "77", True, None, next_poll_ms=database.clock())
    assert (await database.store(task.id, accepted) or task).status is S.RUNNING


async def test_a_pool_that_is_used_up_stops_a_call_and_not_the_next(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database(f"{url}?pool_size=4") as database:
        await asyncio.gather(*(database.engine.read("SELECT pg_sleep(0.1)") for _ in range(4)))
        monkeypatch.setattr(db.postgres, "ACQUIRE_TIMEOUT_S", 0.05)
        ended = asyncio.Event()

        async def hangs(connection: Connection) -> None:
            await ended.wait()

        writes = [asyncio.create_task(database.engine.write(hangs)) for _ in range(2)]
        reads = [asyncio.create_task(database.engine.read("SELECT pg_sleep(0.5)")) for _ in range(2)]
        await asyncio.sleep(0.1)
        with pytest.raises(DatabaseUnavailable, match="all connections to it are in use"):
            await database.count_by_status()
        await asyncio.gather(*reads)
        monkeypatch.setattr(db.postgres, "ACQUIRE_TIMEOUT_S", 10)
        assert (await database.count_by_status())[S.PENDING] == 0
        ended.set()
        await asyncio.gather(*writes)


@pytest.mark.parametrize("kind", ["list", "write"])
async def test_lists_and_writes_wait_no_longer_for_their_part_of_the_pool(
    url: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with Database(f"{url}?pool_size=4") as database:
        monkeypatch.setattr(db.postgres, "ACQUIRE_TIMEOUT_S", 0.05)
        ended = asyncio.Event()

        async def hangs(connection: Connection) -> None:
            await ended.wait()

        async def call() -> None:
            if kind == "write":
                await database.engine.write(hangs)
            else:
                await database.engine.scan("SELECT pg_sleep(1)")

        calls = [asyncio.create_task(call()) for _ in range(8)]
        done, _ = await asyncio.wait(calls, timeout=0.5)
        assert len(done) == 8 - (2 if kind == "write" else 1)
        for refused in done:
            with pytest.raises(DatabaseUnavailable, match="all connections to it are in use"):
                await refused
        ended.set()
        await asyncio.gather(*set(calls) - done)


async def test_a_write_whose_caller_goes_away_is_still_written(three: list[Database]) -> None:
    task = await add_waiting(three[0])
    writing = asyncio.create_task(three[0].store(task.id, CancelRequested(CancelReason.USER)))
    await asyncio.sleep(0)
    writing.cancel()
    async with asyncio.timeout(5):
        while (await stored(three[1])).status is not S.CANCELLED:  # noqa: ASYNC110 - another connection
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (asyncpg.TooManyConnectionsError("x"), "it has no connection or memory left"),
        (asyncpg.ReadOnlySQLTransactionError("x"), "it can only be read: it is a standby"),
        (asyncpg.CannotConnectNowError("x"), "it is starting, stopping or restarting"),
        (asyncpg.DiskFullError("x"), "its disk is full"),
        (asyncpg.ConnectionDoesNotExistError("x"), "it cannot be reached"),
        (asyncpg.InvalidSQLStatementNameError("x"), reason_of(asyncpg.DuplicatePreparedStatementError("x"))),
        (ConnectionRefusedError(), "it cannot be reached"),
        (TimeoutError(), "it takes too long"),
        (asyncpg.UndefinedTableError("x"), "the log has the reason"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_kind_of_failure_has_its_words(exc: Exception, reason: str) -> None:
    assert reason_of(exc) == reason
