"""A move to PostgreSQL keeps every row, changes nothing where it fails, and pays for nothing twice."""

import asyncio
import hashlib
import io
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from database import Database
from db.backup import back_up
from db.copies import CommandRefused
from db.engine import DatabaseRefused
from db.move import move
from db.postgres import PostgresServer
from db.postgres_migrations import MIGRATIONS as POSTGRES_MIGRATIONS
from db.progress import Progress
from db.restore import restore
from db.sqlite import moved_mark
from db.worker_lock import WorkerLock
from models import CancelReason, Kind, NewOutput, OutputState, Task, User, UserLimits
from models import TaskStatus as S
from secret_key import SecretKey
from tests.conftest import add, add_waiting, at_runninghub, execute, stored
from tests.faults.calls import SUBMISSION, ended, start_board, submit, until
from tests.postgres_server import RunningServer
from tests.processes import ROOT, start_service
from transitions import CancelRequested, Finished

pytestmark = pytest.mark.anyio

DATA = Path(__file__).parent.parent / "data"
RELEASE = DATA / "release-1.0.0.sqlite3"
ANN = User("ann", "2026-01-01T00:00:00.000Z", None, UserLimits(tasks_per_day=5), None)
WAITS_FOR_A_LOCK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'runninghub-gateway-move'
        AND wait_event_type = 'Lock'
"""
WITH_PASSWORD = "0199f0c2000000000000000000000017"


@pytest.fixture
def release(path: Path) -> Path:
    """The first release's database and secret key."""
    shutil.copyfile(RELEASE, path)
    shutil.copyfile(DATA / "release-1.0.0.key", f"{path}.secret")
    return path


@pytest.fixture
def target(postgres_server: RunningServer) -> Iterator[str]:
    """An empty database."""
    with postgres_server.database() as url:
        yield url


async def moved(path: Path, target: str, progress: Progress | None = None) -> str:
    """In a thread, as the command has an event loop of its own."""
    return await asyncio.to_thread(move, path, target, progress or Progress(io.StringIO()))


async def all_tasks(location: str) -> list[Task]:
    async with Database(location) as database:
        return await database.page(before_seq=2**62, limit=1000)


async def query(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def tables(url: str) -> int:
    return int(
        await query(url, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
    )


def contents(folder: Path) -> dict[str, str]:
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in folder.iterdir()
        if each.suffix != ".workers"
    }


async def assert_refused(path: Path, target: str, said: str) -> None:
    """A move is refused in one line, and changes neither side."""
    before = contents(path.parent)
    with pytest.raises((CommandRefused, DatabaseRefused, sqlite3.DatabaseError), match=said) as refusal:
        await moved(path, target)
    assert "\n" not in str(refusal.value)
    assert contents(path.parent) == before


# What is moved


async def test_every_task_is_there_and_the_source_is_as_it_was(
    release: Path, target: str, tmp_path: Path
) -> None:
    shutil.copyfile(release, tmp_path / "copy.db")
    before = contents(release.parent)
    report = await moved(release, target)
    assert await all_tasks(target) == await all_tasks(str(tmp_path / "copy.db"))
    assert re.search(r"^tasks +29 ", report, re.MULTILINE)
    after = contents(release.parent)
    assert after.pop("tasks.db.moved")
    assert after == before


async def test_whatever_else_is_stored_is_there(path: Path, target: str) -> None:
    async with Database(str(path)) as database:
        task = await at_runninghub(database, owner="ann")
        output = NewOutput(0, OutputState.KEPT, "text/plain", text="a cat")
        finished = Finished("1001", [{"text": "a cat"}], 7.25, {"coins": "5"}, {"coins_micros": 5}, (output,))
        await database.store(task.id, finished)
        await add_waiting(database, 2, owner="ann", encrypted_password=b"\x00\xff", metadata={"名": "猫"})
        await add_waiting(
            database, 3, webapp_id=None, kind=Kind.WORKFLOW, workflow_id="7", webhook_url="http://x"
        )
        await database.store("task-3", CancelRequested(CancelReason.USER))
        await database.users.add(ANN, b"1")
        await execute(database, "INSERT INTO metric_samples VALUES ('name', '', '', 0.1)")
        of_sqlite = await everything(database)
    await moved(path, target)
    async with Database(target) as database:
        assert await everything(database) == of_sqlite


async def everything(database: Database) -> list[Any]:
    task = await stored(database)
    return [
        await database.page(before_seq=2**62, limit=10),
        await database.count_by_status(),
        await database.used_webapps(before_seq=2**62, limit=10),
        await database.outputs.of_task(task.id),
        await database.users.all(),
        [tuple(row) for row in await database.engine.read("SELECT * FROM metric_samples")],
        await database.deliveries.of_task("task-3"),
    ]


async def test_numbers_of_deleted_tasks_are_not_given_again(path: Path, target: str) -> None:
    async with Database(str(path)) as database:
        for number in (1, 2):
            await add_waiting(database, number)
        await execute(database, "DELETE FROM tasks WHERE id = 'task-2'")
    await moved(path, target)
    async with Database(target) as database:
        assert (await add_waiting(database, 3)).seq == 3


async def test_a_text_that_postgresql_does_not_store_is_changed_as_in_a_write(
    path: Path, target: str
) -> None:
    async with Database(str(path)) as database:
        await add_waiting(database)
        await execute(database, "UPDATE tasks SET owner = 'a' || char(0) || 'b'")
    await moved(path, target)
    assert (await all_tasks(target))[0].owner == "a?b"


async def test_rows_that_only_the_log_of_a_killed_process_has_are_moved(path: Path, target: str) -> None:
    left = path.parent / "left.db"
    async with Database(str(path)) as database:
        await add_waiting(database)
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{left}{suffix}")
    await moved(left, target)
    assert [task.id for task in await all_tasks(target)] == ["task-1"]


async def test_a_service_that_created_only_its_tables_has_left_an_empty_database(
    release: Path, target: str
) -> None:
    async with Database(target):
        pass
    await moved(release, target)
    assert len(await all_tasks(target)) == 29


# The secret key


async def test_the_report_says_how_links_and_passwords_stay_valid(release: Path, target: str) -> None:
    report = await moved(release, target)
    setting = next(line for line in report.splitlines() if line.startswith("SECRET_KEY="))
    secret = Path(f"{release}.secret").read_text().strip()
    assert secret not in report
    key = SecretKey.of(in_shell(f'{setting}; echo -n "$SECRET_KEY"'), "")
    assert key.signature("task-1") == SecretKey.next_to(str(release)).signature("task-1")
    async with Database(target) as database:
        encrypted = (await stored(database, WITH_PASSWORD)).encrypted_password
    assert encrypted
    assert key.decrypt(encrypted)


def in_shell(script: str) -> str:
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout


async def test_without_a_key_file_the_setting_stays(path: Path, target: str) -> None:
    async with Database(str(path)):
        pass
    assert (await moved(path, target)).endswith("and keep SECRET_KEY as it is")


# Nothing is paid for twice


async def test_the_service_does_not_open_a_database_that_was_moved(release: Path, target: str) -> None:
    await moved(release, target)
    with pytest.raises(DatabaseRefused, match=r"^the database tasks\.db was moved to postgresql://[^\n]+$"):
        await Database(str(release)).__aenter__()
    with pytest.raises(CommandRefused, match="was moved before"):
        await moved(release, target)
    moved_mark(release).unlink()
    assert len(await all_tasks(str(release))) == 29


async def test_a_restore_of_a_moved_database_sends_nothing_again(
    release: Path, target: str, tmp_path: Path
) -> None:
    await moved(release, target)
    back_up(tmp_path / "backup.db", release)
    await asyncio.to_thread(restore, tmp_path / "backup.db", release)
    async with Database(str(release)) as database:
        assert not await database.has_claimable()


# Refused


async def test_a_source_in_use_is_refused(release: Path, target: str) -> None:
    async with WorkerLock(str(release)) as lock:
        await lock.share()
        await assert_refused(release, target, "tasks.db is in use: stop the service")


async def test_a_worker_that_starts_while_rows_are_copied_waits(release: Path, target: str) -> None:
    class Waiting(Progress):
        def begin(self, step: str, total: int = 0) -> None:
            with closing(sqlite3.connect(f"{release}.workers", timeout=0)) as lock:
                states.append(is_locked(lock))

    states: list[bool] = []
    await moved(release, target, Waiting(io.StringIO()))
    assert states == [True, True, True]


def is_locked(lock: sqlite3.Connection) -> bool:
    try:
        lock.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        return True
    return False


async def test_a_target_in_use_is_refused(release: Path, target: str) -> None:
    async with Database(target):
        await assert_refused(release, target, "it is in use: stop the service")


async def test_a_target_that_is_not_empty_is_refused_and_keeps_its_rows(release: Path, target: str) -> None:
    async with Database(target) as database:
        await add_waiting(database, 7)
    await assert_refused(release, target, "it is not empty, there are rows in its table tasks")
    assert [task.id for task in await all_tasks(target)] == ["task-7"]


async def test_a_target_where_an_instance_has_run_is_refused(release: Path, target: str) -> None:
    async with Database(target) as database:
        await database.worker_seen()
    await assert_refused(release, target, "it is not empty, there are rows in its table workers")


async def test_a_target_of_a_newer_service_is_refused(release: Path, target: str) -> None:
    newer = {**POSTGRES_MIGRATIONS, 1000: "CREATE TABLE of_the_future (id INTEGER)"}
    async with PostgresServer(target, newer):
        pass
    await assert_refused(release, target, "was written by a newer version")


async def test_a_row_that_is_not_the_same_afterwards_undoes_the_move(release: Path, target: str) -> None:
    async with Database(target):
        pass
    await query(target, "ALTER TABLE tasks ALTER COLUMN run_seconds TYPE REAL")
    with closing(sqlite3.connect(release)) as source:
        source.execute("UPDATE tasks SET run_seconds = 0.1")
        source.commit()
    said = r"its table tasks differs from the source's: 29 rows were copied, 29 read back$"
    await assert_refused(release, target, said)
    assert await all_tasks(target) == []


async def test_a_source_that_is_not_there_is_refused(path: Path, target: str) -> None:
    await assert_refused(path, target, "there is no database")
    assert list(path.parent.iterdir()) == []


async def test_a_damaged_source_is_refused(path: Path, target: str) -> None:
    async with Database(str(path)) as database:
        nodes = [{"fieldValue": "x" * 500}]
        await asyncio.gather(*(add(database, number, node_info=nodes) for number in range(200)))
    with path.open("r+b") as pages:
        pages.seek(path.stat().st_size // 2 // 4096 * 4096)
        pages.write(b"\xee" * 4 * 4096)
    await assert_refused(path, target, "damaged|malformed")
    assert await tables(target) == 0


async def test_a_server_that_does_not_respond_is_named_without_its_password(release: Path) -> None:
    url = "postgresql://user:pa55word@127.0.0.1:1/name"
    said = (
        r"^nothing was moved, since postgresql://user:\*\*\*@127\.0\.0\.1:1/name cannot be used: it cannot be"
    )
    await assert_refused(release, url, said)


@pytest.mark.parametrize("step", ["copying", "comparing"])
async def test_an_interruption_leaves_the_target_empty(release: Path, target: str, step: str) -> None:
    class Interrupted(Progress):
        def begin(self, step: str, total: int = 0) -> None:
            self.step = step

        def advance(self) -> None:
            if self.step == step:
                raise RuntimeError("interrupted")

    before = contents(release.parent)
    with pytest.raises(RuntimeError, match="interrupted"):
        await moved(release, target, Interrupted(io.StringIO()))
    assert await tables(target) == 0
    assert contents(release.parent) == before
    await moved(release, target)
    assert len(await all_tasks(target)) == 29


# The command


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "db.move", *arguments], cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.processes
async def test_the_command_prints_what_it_copied(release: Path, target: str) -> None:
    done = command(f"sqlite:///{release}", target)
    assert (done.returncode, done.stderr.splitlines()) == (
        0,
        [
            *("reading the source", "copying: 0 of 39 rows", "copying: 39 of 39 rows"),
            *("comparing: 0 of 39 rows", "comparing: 39 of 39 rows"),
        ],
    )
    assert done.stdout.splitlines()[:2] == [
        "table                       rows        MB  sums",
        "tasks                         29       0.0  coins_micros 102,000,000",
    ]
    assert ":pw@" not in done.stdout


@pytest.mark.processes
@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("tasks.db", "postgresql://db/name", "SOURCE must be an address such as sqlite:///tasks.db"),
        (
            "postgresql://db/name",
            "sqlite:///tasks.db",
            "SOURCE must be an address such as sqlite:///tasks.db",
        ),
        (
            "sqlite:///tasks.db",
            "sqlite:///x.db",
            "TARGET must be an address such as postgresql://user@host:5432",
        ),
        (
            "sqlite:///tasks.db",
            "postgresql://u:pa#55@db/name",
            "TARGET must be an address such as postgresql://",
        ),
        ("sqlite:///nowhere.db", "postgresql://db/name", "there is no database nowhere.db"),
    ],
)
def test_the_command_fails_in_one_line(source: str, target: str, said: str) -> None:
    done = command(source, target)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(said)
    assert "55" not in done.stderr.replace("5432", "")


@pytest.mark.processes
async def test_a_command_that_is_killed_leaves_the_target_empty_and_can_be_repeated(
    release: Path, target: str
) -> None:
    async with Database(target):
        pass
    blocker = await asyncpg.connect(target)
    await blocker.execute("BEGIN; LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
    arguments = ("-m", "db.move", f"sqlite:///{release}", target)
    killed = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stderr=subprocess.DEVNULL
    )
    async with asyncio.timeout(60):
        while not await query(target, WAITS_FOR_A_LOCK):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    killed.kill()
    await killed.wait()
    await blocker.execute("ROLLBACK")
    await blocker.close()
    assert await all_tasks(target) == []
    assert not moved_mark(release).exists()
    await moved(release, target)
    assert len(await all_tasks(target)) == 29


@pytest.mark.processes
async def test_tasks_in_flight_and_waiting_end_on_postgresql_and_are_paid_for_once(
    path: Path, target: str
) -> None:
    settings = {"MAX_CONCURRENT_TASKS": "3", "POLL_INTERVAL_S": "0.1", "OUTPUTS_URL": "none"}
    with start_board() as board:
        board.set(run_time=8)
        with start_service(board.url, path, env=settings) as service:
            async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
                running = [await submit(client) for _ in range(2)]
                board.set(run_latency=60)
                in_flight = asyncio.create_task(client.post("/submit_task", json=SUBMISSION))
                await until(lambda: board.runs_called() == 3)
                waiting = await asyncio.gather(*(submit(client) for _ in range(3)))
                assert len(await of_status(client, S.PENDING)) == 3
                service.kill()
                await asyncio.gather(in_flight, return_exceptions=True)
        board.set(run_latency=0, run_time=0)
        await moved(path, target)
        key = f"hex:{Path(f'{path}.secret').read_text()}"
        on_postgres = {**settings, "DATABASE_URL": target, "SECRET_KEY": key}
        with start_service(board.url, path, env=on_postgres) as service:
            async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
                for task_id in (*running, *waiting):
                    assert (await ended(client, task_id))["status"] == "SUCCESS"
                async with asyncio.timeout(20):
                    while not (unknown := await of_status(client, S.SUBMIT_UNKNOWN)):  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
        assert [task["error"]["code"] for task in unknown] == ["submit_interrupted"]
        assert board.runs_called() == 6


async def of_status(client: httpx.AsyncClient, status: S) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = (await client.get("/tasks", params={"status": status})).json()["tasks"]
    return tasks
