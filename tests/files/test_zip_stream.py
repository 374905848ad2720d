"""Archives made while they are sent, read back by another implementation's rules."""

import io
import zipfile
from collections.abc import AsyncIterator

import pytest

from files.output_store import ByteStream
from files.zip_stream import Opener, zip_stream

pytestmark = pytest.mark.anyio

MB = 2**20


class Source:
    """Bytes in chunks, and whether somebody closed them."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks = chunks
        self.error = error
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        if self.error:
            raise self.error

    async def aclose(self) -> None:
        self.is_closed = True


def opener(source: Source) -> Opener:
    async def open_it() -> ByteStream:
        return source

    return open_it


async def archive_of(files: dict[str, Source]) -> zipfile.ZipFile:
    stream = zip_stream((name, opener(source)) for name, source in files.items())
    return zipfile.ZipFile(io.BytesIO(b"".join([chunk async for chunk in stream])))


async def test_every_file_is_in_the_archive_under_its_name() -> None:
    files = {"猫 1.png": Source(b"a ", b"cat"), "empty.txt": Source(), "big.bin": Source(*[bytes(MB)] * 3)}
    archive = await archive_of(files)
    assert archive.testzip() is None
    assert {name: archive.read(name) for name in archive.namelist()} == {
        "猫 1.png": b"a cat",
        "empty.txt": b"",
        "big.bin": bytes(3 * MB),
    }
    assert all(source.is_closed for source in files.values())


async def test_an_archive_of_nothing_is_one() -> None:
    assert (await archive_of({})).namelist() == []


async def test_bytes_are_sent_as_they_come() -> None:
    stream = zip_stream([("x", opener(Source(*[bytes(MB)] * 5)))])
    sizes = [len(chunk) async for chunk in stream]
    assert max(sizes) < MB + 1000


async def test_a_file_is_opened_only_when_its_turn_has_come() -> None:
    opened: list[str] = []

    def noting(name: str) -> Opener:
        async def open_it() -> ByteStream:
            opened.append(name)
            return Source(b"x")

        return open_it

    stream = zip_stream((name, noting(name)) for name in ("first", "second"))
    await anext(stream)
    assert opened == ["first"]
    await stream.aclose()


async def test_a_broken_source_breaks_the_archive_and_is_closed() -> None:
    source = Source(b"a c", error=ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await archive_of({"x": source})
    assert source.is_closed
