"""Converts a client's multipart upload, while it arrives, into the body that is sent to RunningHub."""

import secrets
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping

from files.multipart_reader import MultipartReader, file_too_large, invalid_file, read_boundary

# How much a request may contain besides the file, and how much of it may come before the file.
_MAX_OVERHEAD = 64 * 1024
_EPILOGUE = b"\r\n" * 16 * 1024


class FileUpload:
    """A file whose first bytes have been read; the rest is read from the client while it is sent on.

    `error` is what interrupted the reading: an HTTP client reports it only as a failed connection.
    `before_end`, where it is set, gets the form's fields when the whole request has been read; what it raises
    breaks the upload off, so that RunningHub stores nothing.
    """

    def __init__(
        self,
        reader: MultipartReader,
        first_bytes: list[bytes],
        chunks: AsyncIterator[bytes],
        max_length: int | None,
    ) -> None:
        self.filename = reader.filename
        self.content_type = reader.content_type
        self.error: Exception | None = None
        self.before_end: Callable[[Mapping[str, str]], Awaitable[None]] | None = None
        self._reader = reader
        self._first_bytes = first_bytes
        self._chunks = chunks
        self._max_length = max_length

    @property
    def fields(self) -> Mapping[str, str]:
        """The form's other fields, as far as they have been read."""
        return self._reader.fields

    def encode(self, fields: Mapping[str, str]) -> tuple[dict[str, str], AsyncIterator[bytes]]:
        """The headers and the body of a request that contains `fields` and the file; can be used once."""
        boundary = secrets.token_hex(16)
        head = _encode_head(boundary, fields, self.filename, self.content_type)
        tail = f"\r\n--{boundary}--".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if self._max_length is not None:
            headers["Content-Length"] = str(len(head) + self._max_length + len(tail))
        return headers, self._body(head, tail)

    async def _body(self, head: bytes, tail: bytes) -> AsyncIterator[bytes]:
        yield head
        for data in self._first_bytes:
            yield data
        while not self._reader.is_file_complete:
            for data in await self._read():
                yield data
        await self._check_end()
        yield tail
        for data in self._epilogue():
            yield data

    async def _read(self) -> list[bytes]:
        try:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                raise invalid_file("The request ended in the middle of the file.")
            return self._reader.feed(chunk)
        except Exception as exc:  # whatever it is, the caller must get it back
            self.error = exc
            raise

    async def _check_end(self) -> None:
        if self.before_end is None:
            return
        try:
            while not self._reader.is_body_complete and (chunk := await anext(self._chunks, None)):
                self._reader.feed(chunk)
            await self.before_end(self.fields)
        except Exception as exc:  # as in `_read`
            self.error = exc
            raise

    def _epilogue(self) -> Iterator[bytes]:
        """Fills the announced length where the client's request continues after the file.

        Receivers ignore it (RFC 2046, 5.1.1); after most clients it is a single line end.
        """
        missing = 0 if self._max_length is None else self._max_length - self._reader.file_size
        while missing > 0:
            yield _EPILOGUE[:missing]
            missing -= len(_EPILOGUE)


async def open_upload(
    headers: Mapping[str, str], chunks: AsyncIterable[bytes], *, max_bytes: int
) -> FileUpload:
    """Read a request up to the first byte of its part `file`; `headers` has lower-case names.

    Raises InvalidRequest when there is no such part or it is empty, FileTooLarge when the request's
    length or the first bytes exceed `max_bytes`.
    """
    length = _content_length(headers)
    if length is not None and length > max_bytes + _MAX_OVERHEAD:
        raise file_too_large(max_bytes)
    reader = MultipartReader(read_boundary(headers), max_bytes)
    source = aiter(chunks)
    async for chunk in source:
        if data := reader.feed(chunk):
            max_length = None if length is None else length - reader.file_offset - reader.end_length
            return FileUpload(reader, data, source, max_length)
        if reader.is_file_complete:
            raise invalid_file("The file is empty.")
        if reader.is_body_complete:
            raise invalid_file("There is no part named file with a filename.")
        if reader.bytes_read > _MAX_OVERHEAD:
            raise invalid_file("There is too much data before the file: send the file first.")
    raise invalid_file("The request ended before the file began.")


def _content_length(headers: Mapping[str, str]) -> int | None:
    value = headers.get("content-length", "")
    # With a Transfer-Encoding it has no meaning (RFC 9112, 6.3).
    return int(value) if value.isdecimal() and "transfer-encoding" not in headers else None


def _encode_head(boundary: str, fields: Mapping[str, str], filename: str, content_type: str) -> bytes:
    """Everything that comes before the file's bytes."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    return "".join(parts).encode()
