"""Kept outputs as plain files in a folder, each named by its SHA-256: equal results are one file."""

import asyncio
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from files.output_store import (
    Claim,
    FileMissing,
    NotEnoughSpace,
    StoredFile,
    StoreUnavailable,
    thumbnail_key,
)

# Large enough that the change of threads costs little, small enough for many readers at once.
READ_BYTES = 128 * 1024
# How much is written between two checks of the free space.
SPACE_CHECK_BYTES = 32 * 1024 * 1024
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})

T = TypeVar("T")


class DiskStore:
    """`root` is created at startup only: a disk that is not mounted must not be replaced by an empty folder.

    A file is written under a temporary name, synced, and renamed, so that its final name never shows part of
    it, after a power failure either.
    """

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        self._root = root
        self._incoming = root / ".incoming"
        self.min_free_bytes = min_free_bytes

    async def prepare(self, *, is_only_worker: bool) -> None:
        await asyncio.to_thread(self._prepare, is_only_worker)

    def _prepare(self, is_only_worker: bool) -> None:
        with self._translated_errors():
            self._root.mkdir(parents=True, exist_ok=True)
            if is_only_worker:
                shutil.rmtree(self._incoming, ignore_errors=True)
            self._incoming.mkdir(exist_ok=True)

    async def put(
        self,
        name: str,
        chunks: AsyncIterable[bytes],
        *,
        claim: Claim,
        media_type: str = "application/octet-stream",
        expected_bytes: int | None = None,
    ) -> StoredFile:
        draft = await self._new_draft(expected_bytes or 0)
        try:
            async for chunk in chunks:
                await asyncio.to_thread(self._write, draft, chunk)
            stored = await asyncio.to_thread(self._sync, draft)
            await claim(stored.key)
            await asyncio.to_thread(self._publish, draft, stored.key)
        finally:
            await asyncio.to_thread(draft.discard)
        return stored

    async def put_thumbnail(self, key: str, data: bytes) -> None:
        await asyncio.to_thread(self._put_thumbnail, key, data)

    async def open(self, key: str, start: int, stop: int) -> "_FileReader":
        file = await _opened(lambda: self._open(key), discard=lambda opened: opened.close())
        return _FileReader(file, start, stop)

    async def size(self, key: str) -> int | None:
        try:
            return (await asyncio.to_thread(self._stat, key)).st_size
        except FileMissing:
            return None

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._delete, key)

    async def check(self) -> None:
        await asyncio.to_thread(self._check_space, 0)

    async def close(self) -> None:
        """Nothing is open between calls."""

    async def _new_draft(self, expected_bytes: int) -> "_Draft":
        return await _opened(lambda: self._create_draft(expected_bytes), discard=_Draft.discard)

    def _create_draft(self, expected_bytes: int) -> "_Draft":
        self._check_space(expected_bytes)
        with self._translated_errors():
            self._incoming.mkdir(exist_ok=True)
            return _Draft(self._incoming)

    def _write(self, draft: "_Draft", chunk: bytes) -> None:
        if draft.unchecked_bytes + len(chunk) >= SPACE_CHECK_BYTES:
            self._check_space(0)
            draft.unchecked_bytes = 0
        with self._translated_errors():
            draft.write(chunk)

    def _sync(self, draft: "_Draft") -> StoredFile:
        with self._translated_errors():
            return draft.sync()

    def _put_thumbnail(self, key: str, data: bytes) -> None:
        draft = self._create_draft(len(data))
        try:
            self._write(draft, data)
            self._sync(draft)
            self._publish(draft, thumbnail_key(key))
        finally:
            draft.discard()

    def _publish(self, draft: "_Draft", key: str) -> None:
        with self._translated_errors():
            folder = self._path(key).parent
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                _sync_folder(self._root)
            draft.path.replace(self._path(key))
            _sync_folder(folder)

    def _open(self, key: str) -> BinaryIO:
        with self._translated_errors(), self._missing_file():
            return self._path(key).open("rb", buffering=0)

    def _stat(self, key: str) -> os.stat_result:
        with self._translated_errors(), self._missing_file():
            return self._path(key).stat()

    def _delete(self, key: str) -> None:
        for name in (thumbnail_key(key), key):
            with self._translated_errors(), suppress(FileMissing), self._missing_file():
                self._path(name).unlink()

    def _check_space(self, wanted_bytes: int) -> None:
        with self._translated_errors():
            free = shutil.disk_usage(self._root).free
        if free - wanted_bytes < self.min_free_bytes:
            raise NotEnoughSpace(
                f"{self._root} has {free // 2**20} MB of free space;"
                f" OUTPUTS_MIN_FREE_MB={self.min_free_bytes // 2**20} have to stay free"
            )

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / key

    @contextmanager
    def _missing_file(self) -> Iterator[None]:
        """Tells a file that is missing from a folder that is: then nothing is known of its files."""
        try:
            yield
        except FileNotFoundError:
            if self._root.is_dir():
                raise FileMissing from None
            raise

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if exc.errno in NO_SPACE:
                raise NotEnoughSpace(f"{self._root} is full") from exc
            raise StoreUnavailable(f"{self._root} cannot be used: {exc.strerror or exc}") from exc


class _Draft:
    """A file under its temporary name, and the SHA-256 of what was written to it."""

    def __init__(self, folder: Path) -> None:
        descriptor, path = tempfile.mkstemp(dir=folder)
        self.path = Path(path)
        self.unchecked_bytes = 0
        # A buffered file: its lock lets `discard` wait for the write of a put that was cancelled.
        self._file = os.fdopen(descriptor, "wb", buffering=1024 * 1024)
        self._size = 0
        self._sha256 = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._sha256.update(chunk)
        self._size += len(chunk)
        self.unchecked_bytes += len(chunk)

    def sync(self) -> StoredFile:
        self._file.flush()
        os.fsync(self._file.fileno())
        digest = self._sha256.hexdigest()
        return StoredFile(key=digest, size=self._size, sha256=digest)

    def discard(self) -> None:
        """Close it, and remove it where it was not published. A disk that refuses this has other problems."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


class _FileReader:
    """Part of an open file. What the system has in memory is read at once, all else in a thread."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self._file = file
        self._start = start
        self._stop = stop

    async def __aiter__(self) -> AsyncGenerator[bytes | memoryview]:
        position = self._start
        while position < self._stop:
            wanted = min(READ_BYTES, self._stop - position)
            chunk: bytes | memoryview | None = self._read_cached(wanted, position)
            if chunk is None:
                chunk = await asyncio.to_thread(os.pread, self._file.fileno(), wanted, position)
            if not chunk:
                raise StoreUnavailable("a kept file is shorter than it was")
            position += len(chunk)
            yield chunk

    def _read_cached(self, wanted: int, position: int) -> memoryview | None:
        """None: the disk would have to be waited for. A change of threads costs more than such a read."""
        buffer = bytearray(wanted)
        try:
            size = os.preadv(self._file.fileno(), [buffer], position, os.RWF_NOWAIT)
        except (OSError, AttributeError):  # not every file system and system can tell
            return None
        return memoryview(buffer)[:size] if size else None

    async def aclose(self) -> None:
        self._file.close()


async def _opened(open_file: Callable[[], T], *, discard: Callable[[T], None]) -> T:
    """What `open_file` returns, from a thread: that one goes on when cancelled, so its file is discarded."""
    opening = asyncio.ensure_future(asyncio.to_thread(open_file))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(StoreUnavailable, FileMissing):
            discard(await opening)
        raise


def _sync_folder(folder: Path) -> None:
    """Without this a rename may be undone by a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
