"""What a place for kept outputs offers, and how it fails. `DiskStore` and `S3Store` are the two places."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

# Stores a file's key in the database before the file can be seen under it, so that no crash leaves a file
# that no row knows of.
Claim = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is complete and durable; `key` finds it again in its store."""

    key: str
    size: int
    sha256: str


class StoreUnavailable(Exception):
    """Nothing can be stored or read now, but later it may be; one line for the operator."""


class NotEnoughSpace(StoreUnavailable):
    """Storing (more of) the file would use up the space that has to stay free."""


class FileMissing(Exception):
    """The store works and has no file with this key."""


class ByteStream(Protocol):
    """Bytes on their way to a reader, who closes it, also where nothing was read."""

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]: ...

    async def aclose(self) -> None: ...


def thumbnail_key(key: str) -> str:
    """The thumbnail of a file is kept next to it, under its name: whoever knows the file finds both."""
    return f"{key}.thumbnail.webp"


class OutputStore(Protocol):
    """Every method but `close` raises StoreUnavailable where the store does not work at the moment."""

    async def prepare(self, *, is_only_worker: bool) -> None:
        """Called once at startup; the only worker also removes what a killed process left unfinished."""

    async def put(
        self,
        name: str,
        chunks: AsyncIterable[bytes],
        *,
        claim: Claim,
        media_type: str = "application/octet-stream",
        expected_bytes: int | None = None,
    ) -> StoredFile:
        """Store a file: all of it or nothing. Passes on what `chunks` or `claim` raises.

        `name` is unique to the output; a store may ignore it for a better key.
        """

    async def put_thumbnail(self, key: str, data: bytes) -> None:
        """Store the thumbnail of the file `key`: all of it or nothing. It is deleted with the file."""

    async def open(self, key: str, start: int, stop: int) -> ByteStream:
        """The bytes from `start` up to, not including, `stop`. Raises FileMissing before the first one."""

    async def size(self, key: str) -> int | None:
        """None: there is no such file."""

    async def delete(self, key: str) -> None:
        """The file and its thumbnail. That there is no such file is no error."""

    async def check(self) -> None:
        """Raises StoreUnavailable where a `put` would fail, as far as that can be known cheaply."""

    async def close(self) -> None:
        """Called last, when no other call is in progress."""
