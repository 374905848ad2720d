"""A zip archive of many files, made while it is sent: memory use does not grow with its size."""

import io
import time
import zipfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

from files.output_store import ByteStream

# Opens a file when its turn has come.
Opener = Callable[[], Awaitable[ByteStream]]


async def zip_stream(files: Iterable[tuple[str, Opener]]) -> AsyncGenerator[bytes]:
    """Results are compressed already, so they are stored as they are."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, open_file in files:
            source = await open_file()
            try:
                entry = zipfile.ZipInfo(name, date_time=time.gmtime()[:6])
                # The size is not known before: the larger format is needed from 2 GB on.
                with archive.open(entry, "w", force_zip64=True) as member:
                    async for chunk in source:
                        member.write(chunk)
                        yield sink.take()
            finally:
                await source.aclose()
    yield sink.take()


class _Sink(io.RawIOBase):
    """What `zipfile` has written since the last `take`; it cannot be sought, as a connection cannot."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer
        self._chunks.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken
