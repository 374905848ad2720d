"""Kept outputs as objects of any S3-compatible store, one object for each output."""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store as ObjectStore

from files.output_store import (
    ByteStream,
    Claim,
    FileMissing,
    StoredFile,
    StoreUnavailable,
    thumbnail_key,
)
from files.thumbnails import MEDIA_TYPE

# The smallest part that S3 accepts; two at a time, so that a copy needs little memory.
PART_BYTES = 5 * 1024 * 1024
PARTS_AT_ONCE = 2
READ_BYTES = 128 * 1024
STALLED_S = 30
# For how long a put that was cancelled may take to remove the parts that it has already sent.
ABORT_S = 5.0
# obstore's threads finish a call a moment after its result is here. A process that ends within that moment
# is aborted (about every third one in our tests; none after a twentieth of a second).
SETTLE_S = 0.3

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")


@dataclass(frozen=True, slots=True)
class S3Location:
    """Where and with which credentials; `None` leaves a value to the store's own defaults."""

    bucket: str
    prefix: str = ""
    is_virtual_hosted: bool = False
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


class S3Store:
    """A file appears under its key when all of it has arrived, or not at all: S3 guarantees that."""

    def __init__(self, location: S3Location) -> None:
        self._bucket = location.bucket
        self._store = _object_store(location)

    async def prepare(self, *, is_only_worker: bool) -> None:
        """A killed process leaves only hidden parts: the bucket's lifecycle rule removes those."""

    async def put(
        self,
        name: str,
        chunks: AsyncIterable[bytes],
        *,
        claim: Claim,
        media_type: str = "application/octet-stream",
        expected_bytes: int | None = None,
    ) -> StoredFile:
        await claim(name)
        source = _Source(aiter(chunks))
        upload = asyncio.ensure_future(self._upload(name, source, media_type))
        try:
            await asyncio.wait([upload])
        except asyncio.CancelledError:
            # Cancelled itself, the upload would leave its parts in the store.
            source.abort()
            with suppress(Exception):
                await asyncio.wait_for(upload, ABORT_S)
            raise
        upload.result()
        return StoredFile(key=name, size=source.size, sha256=source.sha256.hexdigest())

    async def _upload(self, name: str, source: "_Source", media_type: str) -> None:
        try:
            with self._translated_errors():
                await obstore.put_async(
                    self._store,
                    name,
                    source,
                    attributes={"Content-Type": media_type},
                    use_multipart=True,
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_AT_ONCE,
                )
        except Exception:
            if source.error is not None:
                raise source.error from None
            raise

    async def put_thumbnail(self, key: str, data: bytes) -> None:
        with self._translated_errors():
            await obstore.put_async(
                self._store,
                thumbnail_key(key),
                data,
                attributes={"Content-Type": MEDIA_TYPE},
                use_multipart=False,
            )

    async def open(self, key: str, start: int, stop: int) -> ByteStream:
        if start >= stop:
            return _no_bytes()
        with self._translated_errors():
            result = await obstore.get_async(self._store, key, options={"range": (start, stop)})
        return self._read(result.stream(min_chunk_size=READ_BYTES))

    async def _read(self, stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        with self._translated_errors():
            async for chunk in stream:
                yield chunk

    async def size(self, key: str) -> int | None:
        try:
            with self._translated_errors():
                return (await obstore.head_async(self._store, key))["size"]
        except FileMissing:
            return None

    async def delete(self, key: str) -> None:
        for name in (thumbnail_key(key), key):
            with suppress(FileMissing), self._translated_errors():
                await obstore.delete_async(self._store, name)

    async def check(self) -> None:
        """What is wrong shows only in a call."""

    async def close(self) -> None:
        await asyncio.sleep(SETTLE_S)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """obstore's texts contain the request and the whole response: only two details are passed on."""
        try:
            yield
        except FileNotFoundError as exc:
            if "NoSuchBucket" in str(exc):
                raise StoreUnavailable(f"there is no S3 bucket {self._bucket}") from None
            raise FileMissing from None
        except (BaseError, OSError, ValueError) as exc:
            raise StoreUnavailable(f"the S3 store {_failure(str(exc))}") from None


class _Source:
    """The bytes of a put on their way: counted, hashed, and able to end early from outside."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.error: Exception | None = None
        self._chunks = chunks
        self._reading: asyncio.Future[bytes | None] | None = None

    def abort(self) -> None:
        self.error = _Aborted()
        if self._reading is not None:
            self._reading.cancel()

    def __aiter__(self) -> "_Source":
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._next()
        if chunk is None:
            raise StopAsyncIteration
        # In a thread: hashing a large chunk takes as long as several requests.
        await asyncio.to_thread(self.sha256.update, chunk)
        self.size += len(chunk)
        return chunk

    async def _next(self) -> bytes | None:
        if self.error is not None:
            raise self.error
        self._reading = asyncio.ensure_future(self._read())
        try:
            return await self._reading
        except asyncio.CancelledError:
            raise self.error or _Aborted() from None
        except Exception as exc:  # whatever it is, the caller of `put` must get it back
            self.error = exc
            raise

    async def _read(self) -> bytes | None:
        return await anext(self._chunks, None)


class _Aborted(Exception):
    """Tells obstore to remove what it has sent."""


async def _no_bytes() -> AsyncGenerator[bytes]:
    """S3 has no empty ranges."""
    return
    yield


def _object_store(location: S3Location) -> ObjectStore:
    endpoint = location.endpoint
    if endpoint is not None and location.is_virtual_hosted:
        # obstore puts the bucket into the host name only where it makes up the host name itself.
        parts = urlsplit(endpoint)
        endpoint = parts._replace(netloc=f"{location.bucket}.{parts.netloc}").geturl()
    config: dict[str, Any] = {
        "endpoint": endpoint,
        "region": location.region,
        "access_key_id": location.access_key_id,
        "secret_access_key": location.secret_access_key,
        "session_token": location.session_token,
    }
    return ObjectStore(
        location.bucket,
        prefix=location.prefix or None,
        virtual_hosted_style_request=location.is_virtual_hosted,
        # Aliyun OSS has no bulk delete that obstore could use.
        disable_bulk_delete=True,
        client_options={
            "allow_http": True,
            "connect_timeout": timedelta(seconds=10),
            "read_timeout": timedelta(seconds=STALLED_S),
            "timeout": timedelta(days=1),  # of a whole transfer, however slow the client of a range is
        },
        # Copies are repeated by the copier, which knows for how long that makes sense.
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
        **{name: value for name, value in config.items() if value is not None},
    )


def _failure(text: str) -> str:
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is None:
        return "could not be reached"
    return f"responded {status[1]}" + (f" ({code[1]})" if code else "")
