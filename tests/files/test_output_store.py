"""What both places for kept outputs promise: a whole file or none, its ranges, and its end."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from files.disk_store import DiskStore
from files.output_store import FileMissing, OutputStore, StoredFile, thumbnail_key
from files.s3_store import S3Store
from tests.files.s3 import Bucket, s3_bucket

pytestmark = pytest.mark.anyio

MB = 2**20
DATA = bytes(range(256)) * 1024  # 256 kB


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with s3_bucket() as bucket:
        yield bucket


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.processes)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OutputStore]:
    opened: OutputStore
    if request.param == "disk":
        opened = DiskStore(tmp_path / "outputs")
    else:
        opened = S3Store(request.getfixturevalue("bucket").location)
    await opened.prepare(is_only_worker=True)
    yield opened
    await opened.close()


async def arriving(data: bytes, chunk_bytes: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), chunk_bytes):
        yield data[at : at + chunk_bytes]
        await asyncio.sleep(0)


async def no_claim(key: str) -> None:
    """For tests without a database."""


async def put(store: OutputStore, data: bytes = DATA, *, name: str = "task-1/0") -> StoredFile:
    return await store.put(name, arriving(data), claim=no_claim)


async def content(store: OutputStore, key: str, start: int, stop: int) -> bytes:
    reading = await store.open(key, start, stop)
    try:
        return b"".join([chunk async for chunk in reading])
    finally:
        await reading.aclose()


async def test_a_stored_file_is_found_again_with_its_size_and_sha256(store: OutputStore) -> None:
    stored = await put(store)
    assert (stored.size, stored.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert await store.size(stored.key) == len(DATA)
    assert await content(store, stored.key, 0, len(DATA)) == DATA


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (1, 300), (len(DATA) - 1, len(DATA)), (100_000, 250_000), (0, 0)]
)
async def test_any_part_of_a_file_can_be_read(store: OutputStore, start: int, stop: int) -> None:
    stored = await put(store)
    assert await content(store, stored.key, start, stop) == DATA[start:stop]


async def test_a_large_file_and_an_empty_one_are_stored(store: OutputStore) -> None:
    for data in (DATA * 80, b""):  # 20 MB: several parts of a multipart upload
        stored = await put(store, data, name=f"task-1/{len(data)}")
        assert await store.size(stored.key) == len(data)
        assert await content(store, stored.key, 0, len(data)) == data


async def test_the_key_is_claimed_before_the_file_can_be_seen_under_it(store: OutputStore) -> None:
    seen: list[tuple[str, int | None]] = []

    async def claim(key: str) -> None:
        seen.append((key, await store.size(key)))

    data = b"claimed" * 1000
    stored = await store.put("task-1/claimed", arriving(data), claim=claim)
    assert seen == [(stored.key, None)]


class Broken(Exception):
    """What a source raises."""


async def test_a_refused_claim_leaves_no_file(store: OutputStore) -> None:
    keys: list[str] = []

    async def refuse(key: str) -> None:
        keys.append(key)
        raise Broken

    with pytest.raises(Broken):
        await store.put("task-1/refused", arriving(b"refused"), claim=refuse)
    assert await store.size(keys[0]) is None


@pytest.mark.parametrize("error", [Broken(), OSError("reset"), ValueError("bad")])
async def test_a_broken_source_leaves_no_file_and_its_error_comes_back(
    store: OutputStore, error: Exception
) -> None:
    keys: list[str] = []

    async def claim(key: str) -> None:
        keys.append(key)

    async def breaking() -> AsyncIterator[bytes]:
        async for chunk in arriving(DATA * 40):
            yield chunk
        raise error

    with pytest.raises(type(error)) as raised:
        await store.put("task-1/broken", breaking(), claim=claim)
    assert raised.value is error
    assert [await store.size(key) for key in keys] in ([], [None])


async def test_a_deleted_file_is_missing_and_can_be_deleted_again(store: OutputStore) -> None:
    stored = await put(store, b"deleted")
    for _ in range(2):
        await store.delete(stored.key)
        assert await store.size(stored.key) is None
        with pytest.raises(FileMissing):
            await store.open(stored.key, 0, 1)


async def test_a_thumbnail_lies_next_to_its_file_and_is_deleted_with_it(store: OutputStore) -> None:
    stored = await put(store, b"a cat")
    key = thumbnail_key(stored.key)
    assert await store.size(key) is None
    for data in (b"a small cat", b"a smaller one"):
        await store.put_thumbnail(stored.key, data)
        assert await store.size(key) == len(data)
        assert await content(store, key, 0, len(data)) == data
    assert await content(store, stored.key, 0, 5) == b"a cat"
    await store.delete(stored.key)
    assert (await store.size(key), await store.size(stored.key)) == (None, None)


async def test_a_working_store_passes_its_check(store: OutputStore) -> None:
    await store.check()
