"""A client's multipart upload as it arrives, made into the multipart body that goes up to RunningHub."""

import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from errors import FileTooLarge, InvalidRequest

# What a request may hold beside the file, and what may stand before it.
_MAX_OVERHEAD = 64 * 1024
_EPILOGUE = b"\r\n" * 16 * 1024

_MEDIA_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}", re.ASCII)
_UNSAFE_IN_FILENAME = re.compile(r"[^\w.-]+")
# RFC 7578 forbids `filename*` in forms, yet some clients send nothing else.
_EXTENDED_FILENAME = re.compile(r"filename\*\s*=\s*utf-8'[^']*'([^\s;\"]+)", re.ASCII | re.IGNORECASE)


class FileUpload:
    """A file whose first bytes are here; the rest is read from the client while it goes up.

    `error` is what broke the reading off: an HTTP client tells of it only as a failed connection.
    """

    def __init__(
        self, part: "_FilePart", data: list[bytes], chunks: AsyncIterator[bytes], longest: int | None
    ) -> None:
        self.filename = part.filename
        self.content_type = part.content_type
        self.error: Exception | None = None
        self._part = part
        self._data = data
        self._chunks = chunks
        self._longest = longest

    def encode(self, fields: Mapping[str, str]) -> tuple[dict[str, str], AsyncIterator[bytes]]:
        """The headers and the body of a request that carries `fields` and the file; for one use."""
        boundary = secrets.token_hex(16)
        head = _encode_head(boundary, fields, self.filename, self.content_type)
        tail = f"\r\n--{boundary}--".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if self._longest is not None:
            headers["Content-Length"] = str(len(head) + self._longest + len(tail))
        return headers, self._body(head, tail)

    async def _body(self, head: bytes, tail: bytes) -> AsyncIterator[bytes]:
        yield head
        for piece in self._data:
            yield piece
        while not self._part.is_complete:
            for piece in await self._read():
                yield piece
        yield tail
        for piece in self._epilogue():
            yield piece

    async def _read(self) -> list[bytes]:
        try:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                raise _invalid("The request ended in the middle of the file.")
            return self._part.feed(chunk)
        except Exception as exc:  # whatever it is, the caller has to get it back
            self.error = exc
            raise

    def _epilogue(self) -> Iterator[bytes]:
        """What fills up the announced length, where the client's request goes on behind the file.

        Receivers ignore it (RFC 2046, 5.1.1); after most clients it is one line end.
        """
        missing = 0 if self._longest is None else self._longest - self._part.size
        while missing > 0:
            yield _EPILOGUE[:missing]
            missing -= len(_EPILOGUE)


async def open_upload(
    headers: Mapping[str, str], chunks: AsyncIterable[bytes], *, max_bytes: int
) -> FileUpload:
    """Read a request up to the first byte of its part `file`; `headers` has lower-case names.

    Raises InvalidRequest when there is no such part or it is empty, FileTooLarge when the request's
    length or the first bytes show it.
    """
    length = _content_length(headers)
    if length is not None and length > max_bytes + _MAX_OVERHEAD:
        raise _too_large(max_bytes)
    part = _FilePart(_boundary(headers), max_bytes)
    source = aiter(chunks)
    async for chunk in source:
        if data := part.feed(chunk):
            longest = None if length is None else length - part.offset - part.end_length
            return FileUpload(part, data, source, longest)
        if part.is_complete:
            raise _invalid("The file is empty.")
        if part.is_body_over:
            raise _invalid("There is no part named file with a filename.")
        if part.bytes_read > _MAX_OVERHEAD:
            raise _invalid("Too much stands before the file: send it first.")
    raise _invalid("The request ended before the file began.")


class _FilePart:
    """The first part named `file` of a multipart body; all other parts are dropped."""

    def __init__(self, boundary: bytes, max_bytes: int) -> None:
        self.filename = ""
        self.content_type = ""
        self.size = 0
        self.offset = 0  # of the file's first byte in the body
        self.bytes_read = 0
        self.end_length = len(b"\r\n--" + boundary + b"--")
        self.is_complete = False
        self.is_body_over = False
        self._max_bytes = max_bytes
        self._is_open = False
        self._headers: dict[bytes, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._chunk = b""
        self._data: list[bytes] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as exc:
            raise _invalid("The multipart boundary is too long.") from exc

    def feed(self, chunk: bytes) -> list[bytes]:
        """Parse the next chunk of the body; the bytes of the file that it made certain."""
        self._chunk, self._data = chunk, []
        try:
            self._parser.write(chunk)
        except FormParserError as exc:
            if not self.is_complete:
                raise _invalid("The multipart body is broken.") from exc
        self.bytes_read += len(chunk)
        self.size += sum(map(len, self._data))
        if self.size > self._max_bytes:
            raise _too_large(self._max_bytes)
        return self._data

    def _on_part_begin(self) -> None:
        self._headers = {}

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        filename = _client_filename(disposition, options)
        if self.is_complete or options.get(b"name") != b"file" or filename is None:
            return
        self._is_open = True
        self.filename = _safe_filename(filename)
        self.content_type = _safe_media_type(self._headers.get(b"content-type", b""))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_open:
            return
        if not self.offset:
            # A piece of an earlier chunk, held back as a possible boundary, comes in a buffer of the parser.
            self.offset = self.bytes_read + start if data is self._chunk else self.bytes_read - end
        self._data.append(data[start:end])

    def _on_part_end(self) -> None:
        self.is_complete = self.is_complete or self._is_open
        self._is_open = False

    def _on_end(self) -> None:
        self.is_body_over = True


def _content_length(headers: Mapping[str, str]) -> int | None:
    value = headers.get("content-length", "")
    # Beside a Transfer-Encoding it counts for nothing (RFC 9112, 6.3).
    return int(value) if value.isdecimal() and "transfer-encoding" not in headers else None


def _boundary(headers: Mapping[str, str]) -> bytes:
    media_type, options = parse_options_header(headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if media_type != b"multipart/form-data" or not boundary:
        raise _invalid("Send the file as multipart/form-data, in a part named file.")
    return boundary


def _client_filename(disposition: bytes, options: Mapping[bytes, bytes]) -> str | None:
    if b"filename" in options:
        return options[b"filename"].decode(errors="replace")
    extended = _EXTENDED_FILENAME.search(disposition.decode("latin-1"))
    return unquote(extended[1]) if extended else None


def _safe_filename(name: str) -> str:
    """A short name that fits into a header; RunningHub looks only at its extension."""
    base = _UNSAFE_IN_FILENAME.sub("_", re.split(r"[/\\]", name)[-1])
    stem, dot, extension = base.rpartition(".") if "." in base else (base, "", "")
    return f"{stem.strip('.')[:60] or 'file'}{dot}{extension[:16]}"


def _safe_media_type(value: bytes) -> str:
    found = _MEDIA_TYPE.match(value.decode("latin-1"))
    return found[0] if found else "application/octet-stream"


def _encode_head(boundary: str, fields: Mapping[str, str], filename: str, content_type: str) -> bytes:
    """Everything that stands before the file's bytes."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    return "".join(parts).encode()


def _invalid(problem: str) -> InvalidRequest:
    return InvalidRequest(problem, errors=[{"loc": ["body", "file"], "msg": problem}])


def _too_large(max_bytes: int) -> FileTooLarge:
    return FileTooLarge(f"The file is larger than {max_bytes / 2**20:g} MB, the most that may be uploaded.")
