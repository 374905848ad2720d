"""Reads the one file out of a client's multipart body, chunk by chunk as it arrives."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from errors import FileTooLarge, InvalidRequest

_MEDIA_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}", re.ASCII)
_UNSAFE_IN_FILENAME = re.compile(r"[^\w.-]+")
# RFC 7578 forbids `filename*` in forms, yet some clients send nothing else.
_EXTENDED_FILENAME = re.compile(r"filename\*\s*=\s*utf-8'[^']*'([^\s;\"]+)", re.ASCII | re.IGNORECASE)

# Each part costs time on the event loop, however short it is.
_MAX_PARTS = 1000
# Of the parts beside the file.
_MAX_FIELDS = 20
_MAX_FIELD_BYTES = 1000


class MultipartReader:
    """Finds the first part named `file` of a multipart body.

    `fields` are the first and short ones of the parts without a file name, as far as they were read.
    """

    def __init__(self, boundary: bytes, max_bytes: int) -> None:
        self.filename = ""
        self.content_type = ""
        self.fields: dict[str, str] = {}
        self.file_size = 0
        self.file_offset = 0  # of the file's first byte in the body
        self.bytes_read = 0
        self.end_length = len(b"\r\n--" + boundary + b"--")
        self.is_file_complete = False
        self.is_body_complete = False
        self._max_bytes = max_bytes
        self._parts = 0
        self._is_in_file = False
        self._field_name: str | None = None
        self._field_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._chunk = b""
        self._file_bytes: list[bytes] = []
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
            raise invalid_file("The multipart boundary is too long.") from exc

    def feed(self, chunk: bytes) -> list[bytes]:
        """Parse the next chunk of the body; returns the bytes of the file that it made certain."""
        self._chunk, self._file_bytes = chunk, []
        try:
            self._parser.write(chunk)
        except FormParserError as exc:
            if not self.is_file_complete:
                raise invalid_file("The multipart body is malformed.") from exc
        self.bytes_read += len(chunk)
        self.file_size += sum(map(len, self._file_bytes))
        if self.file_size > self._max_bytes:
            raise file_too_large(self._max_bytes)
        return self._file_bytes

    def _on_part_begin(self) -> None:
        self._headers = {}
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise invalid_file(f"The form has more than {_MAX_PARTS:,} parts.")

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
        if filename is None and len(self.fields) < _MAX_FIELDS:
            self._field_name = options.get(b"name", b"")[:_MAX_FIELD_BYTES].decode(errors="replace")
        if self.is_file_complete or options.get(b"name") != b"file" or filename is None:
            return
        self._is_in_file = True
        self.filename = _safe_filename(filename)
        self.content_type = _safe_media_type(self._headers.get(b"content-type", b""))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field_name is not None:
            self._field_value += data[start : min(end, start + _MAX_FIELD_BYTES)]
            self._field_value = self._field_value[:_MAX_FIELD_BYTES]
        if not self._is_in_file:
            return
        if not self.file_offset:
            # Bytes of an earlier chunk, held back as a possible boundary, come in the parser's buffer.
            self.file_offset = self.bytes_read + start if data is self._chunk else self.bytes_read - end
        self._file_bytes.append(data[start:end])

    def _on_part_end(self) -> None:
        self.is_file_complete = self.is_file_complete or self._is_in_file
        self._is_in_file = False
        if self._field_name is not None:
            self.fields[self._field_name] = self._field_value.decode(errors="replace")
        self._field_name, self._field_value = None, b""

    def _on_end(self) -> None:
        self.is_body_complete = True


def read_boundary(headers: Mapping[str, str]) -> bytes:
    """The boundary that the Content-Type names. Raises InvalidRequest where the body is no form."""
    media_type, options = parse_options_header(headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if media_type != b"multipart/form-data" or not boundary:
        raise invalid_file("Send the file as multipart/form-data, in a part named file.")
    return boundary


def invalid_file(problem: str) -> InvalidRequest:
    return InvalidRequest(problem, errors=[{"loc": ["body", "file"], "msg": problem}])


def file_too_large(max_bytes: int) -> FileTooLarge:
    return FileTooLarge(f"The file is larger than {max_bytes / 2**20:g} MB, the most that may be uploaded.")


def _client_filename(disposition: bytes, options: Mapping[bytes, bytes]) -> str | None:
    if b"filename" in options:
        return options[b"filename"].decode(errors="replace")
    extended = _EXTENDED_FILENAME.search(disposition.decode("latin-1"))
    return unquote(extended[1]) if extended else None


def _safe_filename(name: str) -> str:
    """A short name that fits into a header; RunningHub uses only its extension."""
    base = _UNSAFE_IN_FILENAME.sub("_", re.split(r"[/\\]", name)[-1])
    stem, dot, extension = base.rpartition(".") if "." in base else (base, "", "")
    return f"{stem.strip('.')[:60] or 'file'}{dot}{extension[:16]}"


def _safe_media_type(value: bytes) -> str:
    found = _MEDIA_TYPE.match(value.decode("latin-1"))
    return found[0] if found else "application/octet-stream"
