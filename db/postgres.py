"""A PostgreSQL database that several instances share: its pool, transactions, clock, and wake-ups.

What statements look like is in `postgres_sql.py`, the schema in `postgres_migrations.py`.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from db.engine import Connection, DatabaseRefused, Parameters
from db.faults import LOG_INTERVAL_S, OTHER_REASON, unavailable
from db.postgres_migrations import MIGRATIONS
from db.postgres_sql import translated
from logs import LogLimit
from metrics import DATABASE_WRITE, Metrics

try:
    import asyncpg
except ImportError:  # most installations use SQLite
    asyncpg = None  # type: ignore[assignment]
    DRIVER_ERRORS: tuple[type[Exception], ...] = (OSError,)
else:
    DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

START_ERRORS: tuple[type[Exception], ...] = (*DRIVER_ERRORS, ValueError)
T = TypeVar("T")

log = logging.getLogger(__name__)

DEFAULT_POOL_SIZE = 10
MIN_POOL_SIZE = 4
DEFAULT_CACHED_STATEMENTS = 500
CONNECT_TIMEOUT_S = 5.0
# How long a call waits for a free connection, and a statement for its result.
ACQUIRE_TIMEOUT_S = 10.0
STATEMENT_TIMEOUT_S = 15.0
ATTEMPTS = 5
RETRY_PAUSE_S = (0.005, 0.05)
# A frozen or disconnected instance must not keep its locks: the server ends its transaction.
BEGIN = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'"
MIGRATION_LOCK = "SELECT pg_advisory_xact_lock(7204183365)"
CREATE_VERSION = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
NOW_MS = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS DOUBLE PRECISION)"
APPLICATION = "runninghub-gateway"
MERGE_COUNTS = "SELECT merge_counts()"
CHANNEL = "runninghub_gateway_changes"
# A commit that notifies takes a lock on the whole server: changes are announced this often at most.
NOTIFY_PAUSE_S = 0.05
CLOCK_INTERVAL_S = 5.0
MERGE_INTERVAL_S = 600.0
RECONNECT_PAUSE_S = 1.0

NO_DRIVER = "the package asyncpg is missing; install it with: pip install -r requirements-postgres.txt"
UNREACHABLE = "it cannot be reached"
EXHAUSTED = "all connections to it are in use"
TIMED_OUT = "it takes too long"
# The first characters of an SQLSTATE, in words for people: https://www.postgresql.org/docs/current/errcodes-appendix.html
REASONS = {
    "08": UNREACHABLE,
    "25006": "it can only be read: it is a standby",
    "28": "it refuses the user or the password",
    "3D": "there is no such database",
    "53100": "its disk is full",
    "53": "it has no connection or memory left",
    "57P": "it is starting, stopping or restarting",
    "58": "its disk reports an error",
    "XX": "it reports that it is damaged",
    "55P03": "it is locked by another program",
    "26000": "a connection pooler mixes up prepared statements: add ?statement_cache_size=0 to DATABASE_URL",
    "42P05": "a connection pooler mixes up prepared statements: add ?statement_cache_size=0 to DATABASE_URL",
}
# Two transactions were in each other's way: the server has undone this one, and it is repeated. 23505: both
# stored the same key; the repeated one sees the other's row.
CONFLICTS = frozenset({"40001", "40P01", "23505"})


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """`postgresql://user:password@host:port/name?pool_size=10&statement_cache_size=0`, in its parts."""

    dsn: str
    pool_size: int
    cached_statements: int

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises DatabaseRefused for a parameter that is no number. The driver gets all others."""
        parts = urlsplit(url)
        parameters = dict(parse_qsl(parts.query))
        pool_size = _number(parameters, "pool_size", DEFAULT_POOL_SIZE, at_least=MIN_POOL_SIZE)
        cached = _number(parameters, "statement_cache_size", DEFAULT_CACHED_STATEMENTS, at_least=0)
        return cls(urlunsplit(parts._replace(query=urlencode(parameters))), pool_size, cached)


def _number(parameters: dict[str, str], name: str, default: int, *, at_least: int) -> int:
    text = parameters.pop(name, str(default))
    if not text.isdecimal() or int(text) < at_least:
        raise DatabaseRefused(f"{name} must be a number, {at_least} or more")
    return int(text)


def _code(exc: BaseException) -> str:
    return getattr(exc, "sqlstate", None) or ""


def reason_of(exc: BaseException) -> str:
    """Why a call failed, without the driver's text."""
    code = _code(exc)
    for length in (5, 3, 2):
        if reason := REASONS.get(code[:length]):
            return reason
    if isinstance(exc, TimeoutError):
        return TIMED_OUT
    # Without a code it is the connection: of the driver's own errors, and of the system's.
    return OTHER_REASON if code else UNREACHABLE


class Transaction:
    """What the statements of one transaction are executed on."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def execute_fetchall(self, sql: str, parameters: Parameters | None = None, /) -> list[Any]:
        text, arguments = _call(sql, parameters)
        return list(await self._connection.fetch(text, *map(storable, arguments)))

    async def lock(self, name: str) -> None:
        await self._connection.execute(LOCK, name)


def storable(value: Any) -> Any:
    """PostgreSQL's texts never contain NUL: a result of RunningHub that does must not keep its task open."""
    return value.replace("\0", "?") if isinstance(value, str) and "\0" in value else value


def _call(sql: str, parameters: Parameters | None) -> tuple[str, list[Any]]:
    text, names = translated(sql)
    return text, [(parameters or {})[name] for name in names]


class PostgresServer:
    """One database on a server, and a pool of connections to it.

    Writes and lists each get only a part of the pool, so that what a request reads never waits behind them.
    A further connection listens for the commits of other instances and keeps the clock in step.
    """

    has_one_writer = False
    fault = None

    def __init__(self, url: str, migrations: Mapping[int, str] = MIGRATIONS) -> None:
        self._url = url
        self._migrations = migrations
        self.metrics = Metrics()
        self._pool: Any = None
        self._writes: set[asyncio.Task[Any]] = set()
        self._is_closed = False
        self._committed = asyncio.Event()
        self._has_news = asyncio.Event()
        self._log_limit = LogLimit(LOG_INTERVAL_S)
        # The server's time minus this process's monotonic time, which no clock step changes.
        self._clock_offset_ms = time.time() * 1000 - time.monotonic() * 1000
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if asyncpg is None:
            raise DatabaseRefused(NO_DRIVER)
        self._address = address = ServerAddress.of(self._url)
        self._write_slots = asyncio.Semaphore(address.pool_size - 2)
        self._scan_slots = asyncio.Semaphore(max(1, address.pool_size // 4))
        try:
            async with AsyncExitStack() as stack:
                self._pool = asyncpg.create_pool(
                    address.dsn, min_size=0, max_size=address.pool_size, reset=_keep_as_it_is, **self._options
                )
                await self._pool
                stack.push_async_callback(self._close_pool)
                async with self._pool.acquire() as connection:
                    async with connection.transaction():
                        await migrate(connection, self._migrations)
                    await self._keep_clock(connection)
                listening = asyncio.create_task(self._listen())
                stack.push_async_callback(_stop, listening)
                stack.push_async_callback(self._finish_writes)
                self._stack = stack.pop_all()
        except START_ERRORS as exc:
            raise DatabaseRefused(refusal(exc)) from exc
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def _options(self) -> dict[str, Any]:
        """Of every connection. Nothing is set on the server that a pooler would refuse or mix up."""
        return {
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": STATEMENT_TIMEOUT_S,
            "statement_cache_size": self._address.cached_statements,
            "server_settings": {"application_name": APPLICATION},
        }

    def clock(self) -> int:
        """The server's time: instances whose own clocks differ agree about leases."""
        return int(self._clock_offset_ms + time.monotonic() * 1000)

    async def _keep_clock(self, connection: Any) -> None:
        before_ms = time.monotonic() * 1000
        server_ms: float = await connection.fetchval(NOW_MS)
        self._clock_offset_ms = server_ms - (before_ms + time.monotonic() * 1000) / 2

    def require_no_fault(self) -> None:
        """Nothing to do: a server that has a fault says so itself, before anything is paid for."""

    # Reading

    async def read(self, sql: str, parameters: Parameters | None = None) -> list[Any]:
        """Rows that are found by an index: what a request waits for."""
        self._require_open()
        text, arguments = _call(sql, parameters)
        if any(isinstance(value, str) and "\0" in value for value in arguments):
            return []  # PostgreSQL's texts never contain it
        with self._translated():
            async with self._connection() as connection:
                return list(await connection.fetch(text, *arguments))

    async def scan(self, sql: str, parameters: Parameters | None = None) -> list[Any]:
        """Rows of a list, which may take longer: only a part of the pool is for them."""
        async with _slot(self._scan_slots):
            return await self.read(sql, parameters)

    async def count(self, sql: str, parameters: Parameters | None = None) -> list[Any]:
        """Counts, and whether the database responds."""
        return await self.read(sql, parameters)

    async def look_up(self, sql: str, parameters: Parameters) -> Any | None:
        """One row by an index."""
        return next(iter(await self.read(sql, parameters)), None)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S)
        except TimeoutError as exc:
            raise unavailable(EXHAUSTED) from exc
        try:
            yield connection
        except DRIVER_ERRORS as exc:
            if not _code(exc):  # whatever is left of the connection, nobody else shall get it
                _terminate(connection)
            raise
        finally:
            with suppress(*DRIVER_ERRORS):  # lost on the way
                await self._pool.release(connection)

    def _require_open(self) -> None:
        if self._is_closed:
            raise unavailable("the service is stopping")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Every exception of the driver becomes DatabaseUnavailable."""
        try:
            yield
        except DRIVER_ERRORS as exc:
            reason = reason_of(exc)
            if _code(exc) == "25006":  # the address leads to another server now
                self._pool.expire_connections()
            subject = _code(exc) or type(exc).__name__
            if self._log_limit.allows(subject):
                log.error("the database cannot be used: %s %s", subject, exc)
            raise unavailable(reason) from exc

    # Writing

    async def write(self, statements: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `statements` inside one transaction; see `Engine.write`."""
        self._require_open()
        writing = asyncio.create_task(self._write(statements))
        self._writes.add(writing)
        writing.add_done_callback(self._write_ended)
        return await asyncio.shield(writing)

    def _write_ended(self, writing: asyncio.Task[Any]) -> None:
        self._writes.discard(writing)
        if not writing.cancelled():
            writing.exception()  # its caller may have gone

    async def _write(self, statements: Callable[[Connection], Awaitable[T]]) -> T:
        with self._translated():
            for _ in range(ATTEMPTS - 1):
                try:
                    return await self._transaction(statements)
                except asyncpg.PostgresError as exc:
                    if _code(exc) not in CONFLICTS:
                        raise
                await asyncio.sleep(random.uniform(*RETRY_PAUSE_S))
            return await self._transaction(statements)

    async def _transaction(self, statements: Callable[[Connection], Awaitable[T]]) -> T:
        async with _slot(self._write_slots), self._connection() as connection:
            try:
                await connection.execute(BEGIN)
                result = await statements(Transaction(connection))
                began = time.perf_counter()
                await connection.execute("COMMIT")
                self.metrics.observe(DATABASE_WRITE, time.perf_counter() - began)
            except BaseException:
                await _roll_back(connection)
                raise
        self._committed.set()
        self._has_news.set()
        return result

    async def lock(self, connection: Any, name: str) -> None:
        """Until the transaction ends, let no other one hold this lock."""
        await connection.lock(name)

    async def wait_for_commit(self, timeout_s: float) -> None:
        """Return after the next commit of any instance, or after `timeout_s`; for one waiter."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._committed.wait()
        self._committed.clear()

    async def _finish_writes(self) -> None:
        self._is_closed = True
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def _close_pool(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._pool.close()
        except DRIVER_ERRORS:
            self._pool.terminate()

    # Other instances

    async def _listen(self) -> None:
        """Hear of others' commits and announce ours, for as long as the database is open.

        Only a wake-up: whoever waits also reads the database from time to time.
        """
        while True:
            try:
                await self._listen_once()
            except DRIVER_ERRORS as exc:
                if self._log_limit.allows("listen"):
                    log.warning("changes of other instances are seen later: %s", reason_of(exc))
            await asyncio.sleep(RECONNECT_PAUSE_S)

    async def _listen_once(self) -> None:
        connection = await asyncpg.connect(self._address.dsn, **self._options)
        try:
            own_process = connection.get_server_pid()
            await connection.add_listener(CHANNEL, partial(self._heard, own_process))
            merged_at = -MERGE_INTERVAL_S
            while True:
                if time.monotonic() - merged_at > MERGE_INTERVAL_S:
                    await connection.execute(MERGE_COUNTS)
                    merged_at = time.monotonic()
                await self._keep_clock(connection)
                await self._announce(connection, time.monotonic() + CLOCK_INTERVAL_S)
        finally:
            connection.terminate()

    async def _announce(self, connection: Any, until: float) -> None:
        """Announce commits until then, many at a time."""
        while (remaining_s := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(remaining_s):
                    await self._has_news.wait()
            except TimeoutError:
                return
            self._has_news.clear()
            await connection.execute(f"NOTIFY {CHANNEL}")
            await asyncio.sleep(NOTIFY_PAUSE_S)

    def _heard(self, own_process: int, connection: Any, process: int, channel: str, payload: object) -> None:
        """Called by the driver, also when the connection has just been closed."""
        if process != own_process:
            self._committed.set()


async def connect(url: str, application: str) -> Any:
    """A connection outside any pool, for a command. Raises DatabaseRefused, or one of START_ERRORS."""
    if asyncpg is None:
        raise DatabaseRefused(NO_DRIVER)
    return await asyncpg.connect(
        ServerAddress.of(url).dsn,
        timeout=CONNECT_TIMEOUT_S,
        statement_cache_size=0,
        server_settings={"application_name": application},
    )


async def migrate(connection: Any, migrations: Mapping[int, str] = MIGRATIONS) -> None:
    """Bring the schema up to date; of instances that start at once, one does and the others wait.

    Part of a transaction: until it ends, no instance starts. Raises DatabaseRefused.
    """
    await connection.execute(MIGRATION_LOCK)
    await connection.execute(CREATE_VERSION)
    version = await connection.fetchval("SELECT max(version) FROM schema_version") or 0
    newest = max(migrations)
    if version > newest:
        raise DatabaseRefused(
            "it was written by a newer version of this service"
            f" (schema {version}, known here up to {newest}); it was left as it is"
        )
    for number, script in sorted(migrations.items()):
        if number > version:
            await connection.execute(script, timeout=None)
            await connection.execute("INSERT INTO schema_version VALUES ($1)", number)


def refusal(exc: Exception) -> str:
    """One line for people; the driver's text tells which host, user or database it is."""
    return f"{reason_of(exc)} ({' '.join(str(exc).split()) or type(exc).__name__})"


@asynccontextmanager
async def _slot(slots: asyncio.Semaphore) -> AsyncIterator[None]:
    """A part of the pool. Raises DatabaseUnavailable where none becomes free in time."""
    try:
        async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
            await slots.acquire()
    except TimeoutError as exc:
        raise unavailable(EXHAUSTED) from exc
    try:
        yield
    finally:
        slots.release()


async def _keep_as_it_is(connection: Any) -> None:
    """Nothing was changed on the connection that the next user must not find: spares a round trip."""


async def _roll_back(connection: Any) -> None:
    """Leave no transaction open. A connection on which that fails is closed with it."""
    try:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
    except DRIVER_ERRORS:
        _terminate(connection)


def _terminate(connection: Any) -> None:
    with suppress(*DRIVER_ERRORS):  # it has gone already
        connection.terminate()


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
