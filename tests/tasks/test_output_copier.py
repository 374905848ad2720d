"""Copies of results: every way in which one ends, what is tried again, and what is deleted."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from db.migrations import MIGRATIONS
from db.output_rows import LINK_LIFETIME_MS, OutputRows
from db.sqlite import Connection, SqliteFile
from files.disk_store import DiskStore
from files.output_store import NotEnoughSpace, OutputStore, StoredFile, thumbnail_key
from files.result_download import ResultDownloader
from files.s3_store import S3Store
from files.thumbnails import ThumbnailMaker
from models import MAX_TEXT_BYTES, Output, OutputState
from tasks.output_copier import OutputCopier
from tasks.outputs import new_outputs
from tests.conftest import Clock, until
from tests.files.file_host import FileHost, file_host, response
from tests.files.s3 import s3_bucket
from tests.processes import free_port

pytestmark = pytest.mark.anyio

MAX_FILE_BYTES = 1000
S = OutputState


# Copies


@dataclass(slots=True)
class Copies:
    """A copier on a real database, a real store and a bare file host."""

    file: SqliteFile
    rows: OutputRows
    store: OutputStore
    copier: OutputCopier
    host: FileHost
    clock: Clock

    async def add(self, task_id: str = "task-1", *, file_type: str = "png", url: str | None = None) -> None:
        results = [{"fileUrl": url or self.host.url(), "fileType": file_type, "nodeId": "9"}]

        async def statements(connection: Connection) -> None:
            await connection.execute_fetchall(
                "INSERT INTO tasks (id, status, created_at, updated_at, node_info)"
                " VALUES (:id, 'SUCCESS', '', '', '[]')",
                {"id": task_id},
            )
            await self.rows.insert(connection, task_id, new_outputs(results, is_kept=True))

        await self.file.write(statements)

    async def copy_due(self) -> int:
        """Copy what is due, one after the other; how many that were."""
        leased = await self.rows.lease(lease_ms=60_000, limit=100)
        for output in leased:
            await self.copier.copy(output)
        return len(leased)

    async def make_thumbnails(self) -> int:
        """Make those that are due, one after the other; how many that were."""
        leased = await self.rows.lease_thumbnails(lease_ms=60_000, limit=100)
        for output in leased:
            await self.copier.make_thumbnail(output)
        return len(leased)

    async def output(self, task_id: str = "task-1") -> Output:
        (output,) = await self.rows.of_task(task_id)
        return output

    async def delete_task(self, task_id: str) -> None:
        async def statements(connection: Connection) -> None:
            await connection.execute_fetchall("DELETE FROM tasks WHERE id = :id", {"id": task_id})

        await self.file.write(statements)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        loop = asyncio.create_task(self.copier.run())
        yield
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop

    async def content(self, output: Output) -> bytes:
        reading = await self.store.open(output.storage_key or "", 0, output.size or 0)
        data = b"".join([chunk async for chunk in reading])
        await reading.aclose()
        return data


@asynccontextmanager
async def opened(tmp_path: Path, clock: Clock, store: OutputStore, **limits: Any) -> AsyncIterator[Copies]:
    await store.prepare(is_only_worker=True)
    async with (
        file_host() as host,
        ResultDownloader({"127.0.0.1"}, stalled_s=0.2) as downloads,
        SqliteFile(str(tmp_path / "tasks.db"), MIGRATIONS) as file,
    ):
        rows = OutputRows(file, clock)
        settings: dict[str, Any] = {"max_file_bytes": MAX_FILE_BYTES, **limits}
        copier = OutputCopier(rows, store, downloads, clock=clock, **settings)
        yield Copies(file, rows, store, copier, host, clock)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.fixture
async def copies(tmp_path: Path, root: Path, clock: Clock) -> AsyncIterator[Copies]:
    async with opened(tmp_path, clock, DiskStore(root), check_s=0.01) as copies:
        yield copies


def files_in(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def test_a_result_is_kept_with_its_size_sha256_and_bytes(copies: Copies) -> None:
    await copies.add()
    assert await copies.copy_due() == 1
    output = await copies.output()
    digest = sha256(b"a cat").hexdigest()
    assert (output.state, output.size, output.sha256, output.text) == (S.KEPT, 5, digest, None)
    assert await copies.content(output) == b"a cat"


async def test_a_short_text_is_kept_in_its_row_too(copies: Copies) -> None:
    copies.host.respond = lambda _: response("\ufeffeine Katze: 猫".encode())
    await copies.add(file_type="txt")
    await copies.copy_due()
    output = await copies.output()
    assert (output.text, output.media_type) == ("eine Katze: 猫", "text/plain")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"x" * (MAX_TEXT_BYTES + 1)])
async def test_a_text_that_is_long_or_not_utf8_is_kept_as_a_file_only(
    tmp_path: Path, clock: Clock, root: Path, data: bytes
) -> None:
    async with opened(tmp_path, clock, DiskStore(root), max_file_bytes=len(data)) as copies:
        copies.host.respond = lambda _: response(data)
        await copies.add(file_type="txt")
        await copies.copy_due()
        output = await copies.output()
        assert (output.state, output.text) == (S.KEPT, None)


async def test_the_hosts_media_type_is_used_where_the_file_type_says_nothing(copies: Copies) -> None:
    await copies.add(file_type="xyz")
    await copies.copy_due()
    assert (await copies.output()).media_type == "image/png"


async def test_a_result_over_the_limit_is_not_kept(copies: Copies, root: Path) -> None:
    copies.host.respond = lambda _: response(bytes(MAX_FILE_BYTES + 1))
    await copies.add()
    await copies.copy_due()
    assert (await copies.output()).state is S.TOO_LARGE
    assert files_in(root) == []


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/meta-data/", "file:///etc/passwd"])
async def test_a_result_at_an_address_that_is_not_allowed_is_lost(copies: Copies, url: str) -> None:
    await copies.add(url=url)
    await copies.copy_due()
    assert (await copies.output()).state is S.LOST


# Thumbnails

THUMBNAIL_PROGRAM = "import sys; print('small:', sys.stdin.read()); open({calls!r}, 'a').write('x')"


@dataclass(slots=True)
class Thumbnails:
    """A maker with a program that writes what it got, and how often it was called."""

    maker: ThumbnailMaker
    calls: Path

    @property
    def made(self) -> int:
        return len(self.calls.read_text()) if self.calls.exists() else 0


@pytest.fixture
def thumbnails(tmp_path: Path) -> Thumbnails:
    program, calls = tmp_path / "program.py", tmp_path / "calls"
    program.write_text(THUMBNAIL_PROGRAM.format(calls=str(calls)))
    return Thumbnails(ThumbnailMaker(program=program), calls)


@pytest.fixture
async def with_thumbnails(
    tmp_path: Path, root: Path, clock: Clock, thumbnails: Thumbnails
) -> AsyncIterator[Copies]:
    async with opened(tmp_path, clock, DiskStore(root), check_s=0.01, thumbnails=thumbnails.maker) as copies:
        yield copies


async def test_a_kept_image_has_a_thumbnail_next_to_it(with_thumbnails: Copies, root: Path) -> None:
    await with_thumbnails.add()
    await with_thumbnails.copy_due()
    output = await with_thumbnails.output()
    assert (output.state, output.thumbnail_size) == (S.KEPT, None)
    assert await with_thumbnails.make_thumbnails() == 1
    assert (await with_thumbnails.output()).thumbnail_size == len("small: a cat\n")
    assert await with_thumbnails.make_thumbnails() == 0
    file, thumbnail = sorted(files_in(root))
    assert (file.name, thumbnail.name) == (output.storage_key, thumbnail_key(file.name))
    assert (file.read_bytes(), thumbnail.read_bytes()) == (b"a cat", b"small: a cat\n")


async def test_other_files_have_none(with_thumbnails: Copies, thumbnails: Thumbnails) -> None:
    for task_id, file_type in (("task-1", "mp4"), ("task-2", "svg"), ("task-3", "txt")):
        await with_thumbnails.add(task_id, file_type=file_type)
    await with_thumbnails.copy_due()
    assert await with_thumbnails.make_thumbnails() == 0
    sizes = [(await with_thumbnails.output(f"task-{n}")).thumbnail_size for n in (1, 2, 3)]
    assert (sizes, thumbnails.made) == ([None] * 3, 0)


async def test_equal_images_share_one_thumbnail_until_the_last_is_deleted(
    with_thumbnails: Copies, thumbnails: Thumbnails, root: Path
) -> None:
    for task_id in ("task-1", "task-2"):
        await with_thumbnails.add(task_id)
    await with_thumbnails.copy_due()
    assert await with_thumbnails.make_thumbnails() == 2
    sizes = {(await with_thumbnails.output(task_id)).thumbnail_size for task_id in ("task-1", "task-2")}
    assert (sizes, thumbnails.made) == ({len("small: a cat\n")}, 1)
    await with_thumbnails.delete_task("task-1")
    await delete_due_files(with_thumbnails)
    assert len(files_in(root)) == 2
    await with_thumbnails.delete_task("task-2")
    await delete_due_files(with_thumbnails)
    assert files_in(root) == []


async def test_an_image_that_cannot_be_read_is_kept_without_one(
    tmp_path: Path, root: Path, clock: Clock
) -> None:
    async with opened(tmp_path, clock, DiskStore(root), thumbnails=ThumbnailMaker()) as copies:
        await copies.add()
        await copies.copy_due()
        assert await copies.make_thumbnails() == 1
        output = await copies.output()
        assert (output.state, output.thumbnail_size, len(files_in(root))) == (S.KEPT, None, 1)
        assert await copies.make_thumbnails() == 0


async def test_a_thumbnail_is_made_later_where_the_store_does_not_work_now(
    with_thumbnails: Copies, root: Path
) -> None:
    await with_thumbnails.add()
    await with_thumbnails.copy_due()
    elsewhere = root.rename(root.with_name("elsewhere"))
    assert await with_thumbnails.make_thumbnails() == 1
    assert await with_thumbnails.make_thumbnails() == 0
    elsewhere.rename(root)
    with_thumbnails.clock.go_on(60)
    assert await with_thumbnails.make_thumbnails() == 1
    assert (await with_thumbnails.output()).thumbnail_size


async def test_the_loop_makes_thumbnails_also_those_that_a_killed_process_had_leased(
    with_thumbnails: Copies,
) -> None:
    await with_thumbnails.add()
    await with_thumbnails.copy_due()
    assert await with_thumbnails.rows.lease_thumbnails(lease_ms=60_000, limit=1)
    await with_thumbnails.rows.pull_due(longest_ms=0)
    async with with_thumbnails.running(), asyncio.timeout(20):
        while (await with_thumbnails.output()).thumbnail_size is None:  # noqa: ASYNC110 - a process makes it
            await asyncio.sleep(0.01)


async def test_an_image_that_disappeared_before_its_thumbnail_was_made_has_none(
    with_thumbnails: Copies, root: Path
) -> None:
    await with_thumbnails.add()
    await with_thumbnails.copy_due()
    (file,) = files_in(root)
    file.unlink()
    assert await with_thumbnails.make_thumbnails() == 1
    assert (await with_thumbnails.output()).thumbnail_size is None
    assert await with_thumbnails.make_thumbnails() == 0


class SlowStore(DiskStore):
    """Something happens before a thumbnail is put."""

    async def put_thumbnail(self, key: str, data: bytes) -> None:
        await self.interruption()
        await super().put_thumbnail(key, data)

    async def interruption(self) -> None:
        raise NotImplementedError


async def test_the_thumbnail_of_a_task_that_is_deleted_while_it_is_made_is_deleted_too(
    tmp_path: Path, root: Path, clock: Clock, thumbnails: Thumbnails
) -> None:
    store = SlowStore(root)
    async with opened(tmp_path, clock, store, thumbnails=thumbnails.maker) as copies:

        async def interruption() -> None:
            await copies.delete_task("task-1")
            await delete_due_files(copies)

        store.interruption = interruption  # type: ignore[method-assign]
        await copies.add()
        await copies.copy_due()
        await copies.make_thumbnails()
        assert len(files_in(root)) == 1
        await delete_due_files(copies)
        assert files_in(root) == []


# Retries


async def test_a_failed_download_is_tried_again_after_5_s_growing_to_5_min(copies: Copies) -> None:
    copies.host.respond = lambda _: response(b"", status="503 Unavailable")
    await copies.add()
    delays = []
    for _ in range(9):
        began_ms = copies.clock()
        while not await copies.copy_due():
            copies.clock.go_on(1)
        delays.append((copies.clock() - began_ms) / 1000)
    assert delays[0] == 0
    for delay, longest in zip(delays[1:], (5, 10, 20, 40, 80, 160, 300, 300), strict=True):
        assert 0.8 * longest <= delay <= longest
    copies.host.respond = lambda _: response(b"a cat")
    copies.clock.go_on(300)
    await copies.copy_due()
    assert (await copies.output()).state is S.KEPT


async def test_a_result_is_lost_when_its_link_has_expired(copies: Copies) -> None:
    copies.host.respond = lambda _: response(b"", status="403 Forbidden")
    await copies.add()
    copies.clock.go_on(LINK_LIFETIME_MS / 1000 - 1)
    await copies.copy_due()
    assert (await copies.output()).state is S.KEEPING
    copies.clock.go_on(10)
    await copies.copy_due()
    assert (await copies.output()).state is S.LOST


async def test_a_transfer_that_breaks_off_leaves_no_file_and_is_repeated(copies: Copies, root: Path) -> None:
    copies.host.respond = lambda _: response(b"a c", length=5)
    await copies.add()
    await copies.copy_due()
    assert ((await copies.output()).state, files_in(root)) == (S.KEEPING, [])
    copies.host.respond = lambda _: response(b"a cat")
    copies.clock.go_on(5)
    await copies.copy_due()
    assert await copies.content(await copies.output()) == b"a cat"


async def test_a_result_that_changed_between_two_copies_leaves_only_the_kept_one(
    copies: Copies, root: Path
) -> None:
    """The first copy's process is killed when its file is in place and its row is not."""
    await copies.add()
    (killed,) = await copies.rows.lease(lease_ms=0, limit=1)
    await copies.rows.claim_key(killed, sha256(b"a cat").hexdigest())
    (root / sha256(b"a cat").hexdigest()[:2]).mkdir()
    (root / sha256(b"a cat").hexdigest()[:2] / sha256(b"a cat").hexdigest()).write_bytes(b"a cat")
    copies.host.respond = lambda _: response(b"a dog")
    await copies.copy_due()
    assert (await copies.output()).sha256 == sha256(b"a dog").hexdigest()
    async with copies.running():
        await until(lambda: [path.read_bytes() for path in files_in(root)] == [b"a dog"])


async def test_a_copy_that_was_cancelled_is_repeated_when_its_lease_has_expired(copies: Copies) -> None:
    copies.host.respond = lambda _: response(b"a c", length=5)
    copies.host.is_slow = True
    await copies.add()
    async with copies.running():
        await until(lambda: bool(copies.host.heads))
    copies.host.respond = lambda _: response(b"a cat")
    copies.host.is_slow = False
    assert await copies.copy_due() == 0
    copies.clock.go_on(60)
    assert await copies.copy_due() == 1
    assert (await copies.output()).state is S.KEPT


async def test_a_host_that_sends_hardly_anything_is_given_up_for_now(
    tmp_path: Path, root: Path, clock: Clock
) -> None:
    async with opened(tmp_path, clock, DiskStore(root), patience_s=0.01) as copies:
        copies.host.respond = lambda _: response(b"a c", length=5)
        copies.host.is_slow = True
        await copies.add()
        await copies.copy_due()
        assert ((await copies.output()).state, (await copies.output()).failures) == (S.KEEPING, 1)
    assert files_in(root) == []


async def test_a_copy_is_due_again_when_the_clock_has_stepped_back(copies: Copies) -> None:
    copies.host.respond = lambda _: response(b"", status="503 Unavailable")
    await copies.add()
    await copies.copy_due()
    copies.host.respond = lambda _: response(b"a cat")
    copies.clock.go_on(-86_400)
    async with copies.running():
        await until_kept(copies, "task-1")


# A store that does not work


async def kept(copies: Copies, task_id: str = "task-1") -> bool:
    return (await copies.output(task_id)).state is S.KEPT


async def until_kept(copies: Copies, *task_ids: str) -> None:
    async with asyncio.timeout(10):
        while not all([await kept(copies, task_id) for task_id in task_ids]):
            copies.clock.go_on(1)
            await asyncio.sleep(0.01)


async def test_copies_resume_when_a_folder_that_disappeared_is_back(
    copies: Copies, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = root.rename(root.with_name("elsewhere"))
    await copies.add()
    async with copies.running():
        await until(lambda: copies.copier.problem is not None)
        assert str(copies.copier.problem) == f"{root} cannot be used: No such file or directory"
        assert (await copies.output()).state is S.KEEPING
        elsewhere.rename(root)
        await until_kept(copies, "task-1")
        await until(lambda: copies.copier.problem is None)
    messages = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert messages == ["outputs are not being kept", "outputs are being kept again"]


async def test_copies_resume_when_there_is_space_again(tmp_path: Path, root: Path, clock: Clock) -> None:
    store = DiskStore(root, min_free_bytes=2**60)
    async with opened(tmp_path, clock, store, check_s=0.01) as copies:
        await copies.add()
        async with copies.running():
            await until(lambda: copies.copier.problem is not None)
            assert isinstance(copies.copier.problem, NotEnoughSpace)
            store.min_free_bytes = 0
            await until_kept(copies, "task-1")


async def test_an_outage_of_the_store_ends_no_copy_however_long_it_lasts(copies: Copies, root: Path) -> None:
    await copies.add()
    elsewhere = root.rename(root.with_name("elsewhere"))
    for _ in range(20):
        await copies.copy_due()
        copies.clock.go_on(5)
    elsewhere.rename(root)
    await copies.copy_due()
    assert await kept(copies)


@contextmanager
def an_s3_store(port: int) -> Iterator[S3Store]:
    with s3_bucket(port=port) as bucket:
        yield S3Store(bucket.location)


@pytest.mark.processes
async def test_copies_resume_when_an_s3_store_is_back(tmp_path: Path, clock: Clock) -> None:
    port = free_port()
    with an_s3_store(port) as store:
        async with opened(tmp_path, clock, store, check_s=0.01) as copies:
            await copies.add("task-1")
            await copies.copy_due()
            assert await kept(copies, "task-1")
    async with opened(tmp_path, clock, store, check_s=0.01) as copies:
        for task_id in ("task-2", "task-3"):
            await copies.add(task_id)
        async with copies.running():
            await until(lambda: str(copies.copier.problem) == "the S3 store could not be reached")
            with an_s3_store(port):
                await until_kept(copies, "task-2", "task-3")
                await until(lambda: copies.copier.problem is None)
    await store.close()


# Deleting


async def test_the_file_of_a_deleted_task_is_deleted_with_its_last_output(copies: Copies, root: Path) -> None:
    for task_id in ("task-1", "task-2"):
        await copies.add(task_id)
    await copies.copy_due()
    (file,) = files_in(root)
    async with copies.running():
        await copies.delete_task("task-1")
        assert await copies.rows.lease_files_to_delete(lease_ms=0, limit=10) == []
        await copies.delete_task("task-2")
        await until(lambda: not file.exists())


class InterruptedStore(DiskStore):
    """Something happens between the claim of a file's key and the file."""

    async def put(self, *arguments: Any, claim: Any, **options: Any) -> StoredFile:
        async def claim_and_interrupt(key: str) -> None:
            await claim(key)
            await self.interruption()

        return await super().put(*arguments, claim=claim_and_interrupt, **options)

    async def interruption(self) -> None:
        raise NotImplementedError


async def delete_due_files(copies: Copies) -> None:
    for key in await copies.rows.lease_files_to_delete(lease_ms=0, limit=10):
        await copies.copier.delete_file(key)


async def test_the_file_of_a_task_that_is_deleted_while_it_is_copied_is_deleted_too(
    tmp_path: Path, root: Path, clock: Clock
) -> None:
    store = InterruptedStore(root)
    async with opened(tmp_path, clock, store) as copies:

        async def interruption() -> None:
            await copies.delete_task("task-1")
            await delete_due_files(copies)

        store.interruption = interruption  # type: ignore[method-assign]
        await copies.add()
        await copies.copy_due()
        assert len(files_in(root)) == 1
        await delete_due_files(copies)
        assert files_in(root) == []


async def test_a_file_that_another_task_has_meanwhile_is_not_deleted(
    tmp_path: Path, root: Path, clock: Clock
) -> None:
    store = InterruptedStore(root)
    async with opened(tmp_path, clock, store) as copies:

        async def no_more() -> None:
            """The second copy is not interrupted."""

        async def interruption() -> None:
            store.interruption = no_more  # type: ignore[method-assign]
            await copies.delete_task("task-1")
            await delete_due_files(copies)
            await copies.add("task-2")
            await copies.copy_due()

        store.interruption = interruption  # type: ignore[method-assign]
        await copies.add()
        await copies.copy_due()
        await delete_due_files(copies)
        assert await copies.content(await copies.output("task-2")) == b"a cat"


async def test_a_file_that_cannot_be_deleted_now_is_deleted_later(copies: Copies, root: Path) -> None:
    await copies.add()
    await copies.copy_due()
    await copies.delete_task("task-1")
    elsewhere = root.rename(root.with_name("elsewhere"))
    (key,) = await copies.rows.lease_files_to_delete(lease_ms=0, limit=10)
    await copies.copier.delete_file(key)
    elsewhere.rename(root)
    async with copies.running():
        await until(lambda: not files_in(root))
