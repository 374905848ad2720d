"""Kept outputs in a folder: one file for equal results, no partial file, and what a broken disk does."""

import asyncio
import hashlib
import os
import resource
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from files.disk_store import SPACE_CHECK_BYTES, DiskStore
from files.output_store import NotEnoughSpace, StoredFile, StoreUnavailable

pytestmark = pytest.mark.anyio

MB = 2**20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "outputs"


@pytest.fixture
async def store(root: Path) -> DiskStore:
    return await prepared(root)


async def prepared(root: Path, *, min_free_bytes: int = 0, is_only_worker: bool = True) -> DiskStore:
    store = DiskStore(root, min_free_bytes=min_free_bytes)
    await store.prepare(is_only_worker=is_only_worker)
    return store


async def arriving(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def no_claim(key: str) -> None:
    """For tests without a database."""


async def put(store: DiskStore, *chunks: bytes, expected_bytes: int | None = None) -> StoredFile:
    return await store.put("any", arriving(*chunks), claim=no_claim, expected_bytes=expected_bytes)


def files_in(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())


async def test_a_file_is_named_by_its_sha256_and_equal_results_are_one_file(
    store: DiskStore, root: Path
) -> None:
    stored = [await put(store, b"a cat"), await put(store, b"a ", b"cat")]
    digest = hashlib.sha256(b"a cat").hexdigest()
    assert stored == [StoredFile(key=digest, size=5, sha256=digest)] * 2
    assert files_in(root) == [Path(digest[:2], digest)]
    assert (root / digest[:2] / digest).read_bytes() == b"a cat"


async def test_a_reader_of_a_file_that_is_stored_again_reads_on(store: DiskStore) -> None:
    data = os.urandom(MB)
    stored = await put(store, data)
    reading = await store.open(stored.key, 0, len(data))
    await put(store, data)
    await store.delete(stored.key)
    assert b"".join([chunk async for chunk in reading]) == data
    await reading.aclose()


async def test_a_put_that_is_cancelled_leaves_nothing(store: DiskStore, root: Path) -> None:
    has_begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MB)
            has_begun.set()

    putting = asyncio.create_task(store.put("any", endless(), claim=no_claim))
    await has_begun.wait()
    putting.cancel()
    await asyncio.wait([putting])
    assert putting.cancelled()
    assert files_in(root) == []


async def test_a_put_that_is_cancelled_while_its_file_is_created_leaves_nothing(
    store: DiskStore, root: Path
) -> None:
    putting = asyncio.create_task(put(store, b"a cat"))
    await asyncio.sleep(0)  # a thread creates the file now
    putting.cancel()
    await asyncio.wait([putting])
    assert putting.cancelled()
    assert files_in(root) == []


async def test_an_open_that_is_cancelled_closes_its_file(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await put(store, b"a cat")
    opened: list[BinaryIO] = []
    open_file = store._open

    def noted_open(key: str) -> BinaryIO:
        opened.append(open_file(key))
        return opened[-1]

    monkeypatch.setattr(store, "_open", noted_open)
    opening = asyncio.create_task(store.open(stored.key, 0, stored.size))
    await asyncio.sleep(0)  # a thread opens the file now
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    assert [file.closed for file in opened] == [True]


async def test_the_only_worker_removes_what_a_killed_process_left(store: DiskStore, root: Path) -> None:
    (root / ".incoming" / "tmp1234").write_bytes(b"half a c")
    await prepared(root, is_only_worker=False)
    assert files_in(root) == [Path(".incoming/tmp1234")]
    await prepared(root)
    assert files_in(root) == []


# Space


def free_bytes(root: Path) -> int:
    return shutil.disk_usage(root).free


async def test_nothing_is_stored_when_less_space_is_free_than_must_stay_so(root: Path) -> None:
    root.mkdir(parents=True)
    store = await prepared(root, min_free_bytes=free_bytes(root) + 1000 * MB)
    with pytest.raises(NotEnoughSpace, match=r"MB of free space; OUTPUTS_MIN_FREE_MB=\d+ have to stay free"):
        await put(store, b"a cat")
    with pytest.raises(NotEnoughSpace):
        await store.check()
    assert files_in(root) == []


async def test_a_file_that_would_not_fit_is_refused_before_its_first_byte(root: Path) -> None:
    root.mkdir(parents=True)
    store = await prepared(root, min_free_bytes=free_bytes(root) - 1000 * MB)

    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    with pytest.raises(NotEnoughSpace):
        await store.put("any", unread(), claim=no_claim, expected_bytes=2000 * MB)
    assert (await put(store, b"a cat", expected_bytes=5)).size == 5


async def test_a_file_whose_size_was_not_known_stops_when_space_runs_low(root: Path) -> None:
    root.mkdir(parents=True)
    store = await prepared(root, min_free_bytes=free_bytes(root) - 3 * SPACE_CHECK_BYTES)

    async def growing() -> AsyncIterator[bytes]:
        for _ in range(8 * SPACE_CHECK_BYTES // MB):
            yield os.urandom(MB)

    with pytest.raises(NotEnoughSpace):
        await store.put("any", growing(), claim=no_claim)
    assert files_in(root) == []


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """The system refuses to write past one MB of a file, as a full disk does in the middle of one."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MB, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("small_files_only")
async def test_a_write_that_the_system_refuses_leaves_no_file(store: DiskStore, root: Path) -> None:
    with pytest.raises(StoreUnavailable, match="File too large"):
        await put(store, bytes(2 * MB))
    assert files_in(root) == []
    assert (await put(store, b"a cat")).size == 5


# A folder that disappears


async def test_a_folder_that_disappeared_is_not_created_again_and_works_when_it_is_back(
    store: DiskStore, root: Path
) -> None:
    stored = await put(store, b"a cat")
    elsewhere = root.rename(root.with_name("elsewhere"))
    for call in (
        put(store, b"a dog"),
        store.open(stored.key, 0, 1),
        store.size(stored.key),
        store.delete(stored.key),
        store.check(),
    ):
        with pytest.raises(StoreUnavailable, match="outputs cannot be used: No such file or directory"):
            await call
    assert not root.exists()
    elsewhere.rename(root)
    assert await store.size(stored.key) == 5
    assert (await put(store, b"a dog")).size == 5


async def test_a_folder_that_was_emptied_is_used_on(store: DiskStore, root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()
    stored = await put(store, b"a cat")
    assert await store.size(stored.key) == 5


async def test_a_file_that_became_shorter_ends_in_an_error_not_in_wrong_bytes(
    store: DiskStore, root: Path
) -> None:
    stored = await put(store, b"a cat")
    (root / stored.key[:2] / stored.key).write_bytes(b"a")
    reading = await store.open(stored.key, 0, 5)
    chunks = aiter(reading)
    assert await anext(chunks) == b"a"
    with pytest.raises(StoreUnavailable, match="shorter"):
        await anext(chunks)
    await reading.aclose()


async def test_a_path_that_is_no_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file")
    with pytest.raises(StoreUnavailable, match="outputs cannot be used"):
        await prepared(tmp_path / "outputs")
