"""What of a client's multipart request is sent to RunningHub, what is refused, and how a call ends early."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import httpx
import pytest
from httpx_aiohttp import AiohttpTransport
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect

from errors import FileTooLarge, InvalidRequest
from files.upload import FileUpload, open_upload
from tests.files.multipart import (
    DELIMITER,
    MB,
    arriving,
    file_bytes,
    file_part,
    form,
    form_headers,
    invalid_file_problem,
    other_parts,
    part,
    problem,
)

pytestmark = pytest.mark.anyio

FIELDS = {"apiKey": "our-key", "fileType": "input"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def opened(body: bytes, *, declared: bool = True, max_bytes: int = MB) -> FileUpload:
    headers = form_headers(len(body) if declared else None)
    return await open_upload(headers, arriving([body]), max_bytes=max_bytes)


def upstream_parts(headers: dict[str, str], body: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """Every part as (headers, data), and what comes after the last one."""
    delimiter = b"\r\n--" + headers["Content-Type"].removeprefix("multipart/form-data; boundary=").encode()
    preamble, *parts, end = (b"\r\n" + body).split(delimiter)
    assert preamble == b""
    assert end.startswith(b"--")
    split = [each.removeprefix(b"\r\n").partition(b"\r\n\r\n") for each in parts]
    return [(head.decode(), data) for head, _, data in split], end.removeprefix(b"--")


async def relayed(upload: FileUpload) -> tuple[list[tuple[str, bytes]], bytes]:
    headers, stream = upload.encode(FIELDS)
    body = b"".join([piece async for piece in stream])
    if "Content-Length" in headers:
        assert headers["Content-Length"] == str(len(body))
    return upstream_parts(headers, body)


def expected_parts(data: bytes) -> list[tuple[str, bytes]]:
    return [
        ('Content-Disposition: form-data; name="apiKey"', b"our-key"),
        ('Content-Disposition: form-data; name="fileType"', b"input"),
        (
            'Content-Disposition: form-data; name="file"; filename="cat.png"\r\nContent-Type: image/png',
            data,
        ),
    ]


# What is sent


async def test_the_file_is_sent_after_our_own_fields() -> None:
    assert await relayed(await opened(form(file_part(b"meow")))) == (expected_parts(b"meow"), b"\r\n")


async def test_a_form_parser_reads_our_fields_and_the_file() -> None:
    headers, body = (await opened(form(file_part(b"meow")))).encode(FIELDS)
    received = await MultiPartParser(Headers(headers), body_generator(body)).parse()
    file = received["file"]
    assert isinstance(file, UploadFile)
    assert (received["apiKey"], received["fileType"], file.filename) == ("our-key", "input", "cat.png")
    assert (file.content_type, await file.read()) == ("image/png", b"meow")
    await file.close()


async def body_generator(body: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    async for piece in body:
        yield piece


@pytest.mark.parametrize("declared", [True, False])
async def test_the_body_may_be_split_anywhere(declared: bool) -> None:
    data = b"\r\n--\r" + DELIMITER[:-1] + b"\r\n" + DELIMITER[:-2] + b"\r\n\r"
    body = form(part('name="apiKey"', b"theirs"), file_part(data), part('name="x"', b"more"))
    headers = form_headers(len(body) if declared else None)
    for at in range(len(body) + 1):
        upload = await open_upload(headers, arriving([body[:at], body[at:]]), max_bytes=len(data))
        parts, _ = await relayed(upload)
        assert parts == expected_parts(data), at


async def test_the_body_may_come_byte_by_byte() -> None:
    body = form(part('name="first"', b"1"), file_part(b"\r\n--meow\r\n"))
    chunks = [chunk for at in range(len(body)) for chunk in (body[at : at + 1], b"")]
    upload = await open_upload(form_headers(len(body)), arriving(chunks), max_bytes=MB)
    assert await relayed(upload) == (expected_parts(b"\r\n--meow\r\n"), b"\r\n")


@settings(derandomize=True, deadline=None)
@given(
    data=file_bytes,
    before=other_parts,
    after=other_parts,
    second=st.booleans(),
    end=st.sampled_from([b"", b"\r\n", b"\r\nepilogue"]),
    declared=st.booleans(),
    cuts=st.sets(st.integers(min_value=1, max_value=1000)),
)
async def test_the_same_bytes_are_sent_whatever_surrounds_them(
    data: bytes,
    before: list[bytes],
    after: list[bytes],
    second: bool,
    end: bytes,
    declared: bool,
    cuts: set[int],
) -> None:
    body = form(*before, file_part(data), *after, *[file_part(b"second")] * second, end=end)
    chunks = [body[start:stop] for start, stop in pairwise([0, *sorted(cuts), len(body) + 1000])]
    headers = form_headers(len(body) if declared else None)
    upload = await open_upload(headers, arriving(chunks), max_bytes=len(data))
    parts, filler = await relayed(upload)
    assert parts == expected_parts(data)
    assert filler.strip() == b""
    if not after and not second:
        assert len(filler) == (len(end) if declared else 0)


async def test_the_rest_of_the_request_is_not_read_once_the_file_is_complete() -> None:
    body = form(file_part(b"meow"), part('name="x"', b"y" * 200_000))
    chunks = iter([body[:200], body[200:400], body[400:]])
    upload = await open_upload(form_headers(len(body)), arriving(chunks), max_bytes=MB)
    parts, filler = await relayed(upload)
    assert parts == expected_parts(b"meow")
    assert filler == b"\r\n" * (len(filler) // 2) + b"\r" * (len(filler) % 2)
    assert next(chunks, None) is not None


async def test_a_chunk_is_read_only_when_the_one_before_it_has_been_sent() -> None:
    body = form(file_part(bytes(2000)))
    read: list[bytes] = []

    async def source() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 100):
            read.append(body[at : at + 100])
            yield read[-1]

    _, stream = (await open_upload(form_headers(), source(), max_bytes=MB)).encode(FIELDS)
    read_at_each_piece = [len(read) async for _ in stream]
    assert len(read_at_each_piece) > 20
    assert all(later - earlier <= 1 for earlier, later in pairwise(read_at_each_piece))


# What is refused


NO_FILE = "There is no part named file with a filename."


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (form(), NO_FILE),
        (form(part('name="image"; filename="cat.png"', b"meow")), NO_FILE),
        (form(part('name="file"', b"meow")), NO_FILE),
        (form(b"Content-Type: image/png\r\n\r\nmeow"), NO_FILE),
        (form(file_part(b"")), "The file is empty."),
        (form(file_part(b""), file_part(b"second")), "The file is empty."),
        (form(part('name="file"; filename=""', b"")), "The file is empty."),
        (b"", "The request ended before the file began."),
        (form(file_part(b"meow"))[:60], "The request ended before the file began."),
    ],
)
async def test_a_form_without_a_readable_file_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await opened(body)
    assert problem(raised.value) == invalid_file_problem(reason)


@pytest.mark.parametrize(
    ("start", "more"), [(b"", b"\r\n" * 512), (DELIMITER + b"\r\n" + part('name="x"', b""), b"y" * 1024)]
)
async def test_reading_ends_when_the_file_does_not_come(start: bytes, more: bytes) -> None:
    chunks = iter([start, *[more] * 100])
    with pytest.raises(InvalidRequest) as raised:
        await open_upload(form_headers(), arriving(chunks), max_bytes=MB)
    assert problem(raised.value) == invalid_file_problem(
        "There is too much data before the file: send the file first."
    )
    assert len(list(chunks)) in (35, 36)


TOO_LARGE = "The file is larger than 1 MB, the most that may be uploaded."


async def test_a_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    chunks = iter([b"unread"])
    with pytest.raises(FileTooLarge) as raised:
        await open_upload(form_headers(MB + 64 * 1024 + 1), arriving(chunks), max_bytes=MB)
    assert raised.value.message == TOO_LARGE
    assert list(chunks) == [b"unread"]


async def test_a_file_of_exactly_the_limit_is_sent() -> None:
    assert await relayed(await opened(form(file_part(bytes(MB))))) == (expected_parts(bytes(MB)), b"\r\n")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_file_over_the_limit_is_refused_as_soon_as_it_is_seen(declared: bool) -> None:
    body = form(file_part(bytes(MB + 1)))
    chunks = iter([body[:MB], body[MB:], b"unread"])
    headers = form_headers(len(body) if declared else None)
    upload = await open_upload(headers, arriving(chunks), max_bytes=MB)
    with pytest.raises(FileTooLarge) as raised:
        await relayed(upload)
    assert raised.value.message == TOO_LARGE
    assert upload.error is raised.value
    assert list(chunks) == [b"unread"]


@pytest.mark.parametrize("declared", [True, False])
async def test_a_truncated_file_never_becomes_a_complete_body(declared: bool) -> None:
    whole = form(file_part(b"meow" * 10))
    for cut in range(whole.index(b"meow") + 1, len(whole) - len(b"\r\n")):
        headers = form_headers(len(whole) if declared else None)
        upload = await open_upload(headers, arriving([whole[:cut]]), max_bytes=MB)
        sent, stream = upload.encode(FIELDS)
        received = b""
        with pytest.raises(InvalidRequest) as raised:  # noqa: PT012 (what was received before it is checked)
            async for piece in stream:
                received += piece
        assert problem(raised.value) == invalid_file_problem("The request ended in the middle of the file.")
        assert sent["Content-Type"].rpartition("=")[2].encode() + b"--" not in received


async def test_a_length_with_a_transfer_encoding_is_ignored() -> None:
    body = form(file_part(b"meow"))
    headers = form_headers(5) | {"transfer-encoding": "chunked"}
    sent, _ = (await open_upload(headers, arriving([body]), max_bytes=MB)).encode(FIELDS)
    assert "Content-Length" not in sent


# On the wire, through the transport that the service uses

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def upstream(handler: Handler) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Event]]:
    """A client of a bare server that runs `handler`, and an event: the connection was closed."""
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handler(reader, writer)
        while await reader.read(65536):
            pass
        closed.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        asyncio.timeout(20),
        server,
        httpx.AsyncClient(transport=AiohttpTransport(), base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client, closed


def response_with(body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(("declared", "end"), [(True, b"--\r\n"), (False, b"--\r\n0\r\n\r\n")])
async def test_the_length_is_announced_where_the_client_announced_one(declared: bool, end: bytes) -> None:
    heads = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n"))
        await reader.readuntil(end)
        writer.write(response_with(b"ok"))

    async with upstream(handler) as (client, _):
        headers, body = (await opened(form(file_part(b"meow")), declared=declared)).encode(FIELDS)
        response = await client.post("/", content=body, headers=headers)
    assert response.text == "ok"
    framing = [line for line in heads[0] if line.startswith(("content-length", "transfer-encoding"))]
    assert framing == [
        f"content-length: {headers['Content-Length']}" if declared else "transfer-encoding: chunked"
    ]


async def test_an_early_response_ends_the_reading() -> None:
    body = form(file_part(bytes(MB)))
    ended = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield body[:1000]
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response_with(b"refused"))

    async with upstream(handler) as (client, closed):
        upload = await open_upload(form_headers(len(body)), stalling(), max_bytes=MB)
        headers, stream = upload.encode(FIELDS)
        response = await client.post("/", content=stream, headers=headers)
        assert (response.text, upload.error) == ("refused", None)
        await ended.wait()
        await closed.wait()


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("error", [ClientDisconnect(), OSError("reset")])
async def test_a_client_that_goes_away_ends_the_call_and_the_caller_learns_why(
    declared: bool, error: Exception
) -> None:
    body = form(file_part(bytes(MB)))
    received = bytearray()

    async def leaving() -> AsyncIterator[bytes]:
        yield body[:1000]
        raise error

    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            received.extend(data)

    async with upstream(handler) as (client, closed):
        upload = await open_upload(form_headers(len(body) if declared else None), leaving(), max_bytes=MB)
        headers, stream = upload.encode(FIELDS)
        with pytest.raises(httpx.TransportError):
            await client.post("/", content=stream, headers=headers)
        await closed.wait()
    assert upload.error is error
    assert not received.endswith((b"--", b"0\r\n\r\n"))
