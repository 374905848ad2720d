"""Uploads, read and hashed as they arrive; what is needed later is kept in a temporary directory."""

import asyncio
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

KEPT_BYTES = 256 * 1024 * 1024
"""Past it the oldest files are removed."""
PICTURES = {".jpeg", ".jpg", ".png", ".webp"}
AUDIO = {".flac", ".mp3", ".wav"}
VIDEOS = {".avi", ".mkv", ".mov", ".mp4"}
SUPPORTED = PICTURES | AUDIO | VIDEOS | {".zip"}
V1_FOLDER = "api"
"""What names of v1 uploads begin with."""
_MAX_FIELD = 10_000


class BrokenUpload(Exception):
    """The body is no multipart form."""


class UploadTooLarge(Exception):
    """The file is over the limit."""


class UploadForm:
    """One multipart body being read: short fields are kept, the file's bytes go to the hash and to `sink`."""

    def __init__(self, boundary: bytes, sink: IO[bytes], max_bytes: int, folder: str = V1_FOLDER) -> None:
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None
        self.size = 0
        self._hash = hashlib.sha256()
        self._sink = sink
        self._max_bytes = max_bytes
        self._folder = folder
        self._headers: dict[bytes, bytes] = {}
        self._header_name = self._header_value = b""
        self._part_name = ""
        self._in_file = False
        self._value = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value_part,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_ends,
            },
        )

    @property
    def extension(self) -> str:
        """The file's extension with its dot, or nothing."""
        return Path(self.file_name or "").suffix.lower()

    @property
    def is_kept(self) -> bool:
        """Whether the file itself is needed later: as a picture in results, or at its v2 address."""
        return self._folder != V1_FOLDER or self.extension in PICTURES

    @property
    def file_name_by_hash(self) -> str:
        """The name without its folder."""
        return f"{self._hash.hexdigest()}{self.extension}"

    @property
    def stored_name(self) -> str:
        """The name that goes back as a fieldValue; a zip's is the bare hash in v1."""
        if self._folder == V1_FOLDER and self.extension == ".zip":
            return self._hash.hexdigest()
        return f"{self._folder}/{self.file_name_by_hash}"

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self._parser.write(data)

    def _part_begins(self) -> None:
        self._headers, self._value = {}, bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _header_value_part(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._part_name = options.get(b"name", b"").decode("utf-8", "replace")
        self._in_file = self._part_name == "file" and b"filename" in options
        if self._in_file:
            self.file_name = options[b"filename"].decode("utf-8", "replace")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if not self._in_file:
            self._value += data[start : min(end, start + _MAX_FIELD - len(self._value))]
            return
        self.size += end - start
        if self.size > self._max_bytes:
            raise UploadTooLarge
        chunk = data[start:end]
        self._hash.update(chunk)
        if self.is_kept:
            self._sink.write(chunk)

    def _part_ends(self) -> None:
        if not self._in_file:
            self.fields[self._part_name] = self._value.decode("utf-8", "replace")


class UploadStore:
    """The names of all uploads, and the files that are kept."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._sizes: dict[str, int] = {}
        self._names: set[str] = set()

    def knows(self, stored_name: str) -> bool:
        """Whether a file with this name was uploaded here, kept or not."""
        return stored_name in self._names

    def close(self) -> None:
        """Remove all that was kept."""
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
        self._directory = None
        self._sizes.clear()

    def path(self, stored_name: str) -> Path | None:
        """Where a file is kept, named with or without its folder, or None when it is not."""
        name = stored_name.rpartition("/")[2]
        if self._directory is None or name not in self._sizes:
            return None
        return self._directory / name

    async def receive(
        self, request: Request, max_bytes: int, bytes_per_second: int, folder: str = V1_FOLDER
    ) -> UploadForm:
        """Read the whole body, piece by piece, and keep the file where it is needed later."""
        _, options = parse_options_header(request.headers.get("content-type"))
        boundary = options.get(b"boundary")
        if not boundary:
            raise BrokenUpload
        with tempfile.NamedTemporaryFile(dir=self._make_directory()) as sink:
            form = await _read(request, UploadForm(boundary, sink, max_bytes, folder), bytes_per_second)
            sink.flush()
            self._names.add(form.stored_name)
            self._keep(sink.name, form)
        return form

    def _make_directory(self) -> Path:
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="runninghub-simulator-"))
        return self._directory

    def _keep(self, written: str, form: UploadForm) -> None:
        """Give a file its name; what is not kept is removed with the temporary file."""
        name = form.file_name_by_hash
        if form.file_name is None or not form.is_kept or name in self._sizes:
            return
        os.link(written, self._make_directory() / name)
        self._sizes[name] = form.size
        while sum(self._sizes.values()) > KEPT_BYTES:
            oldest = next(iter(self._sizes))
            (self._make_directory() / oldest).unlink()
            del self._sizes[oldest]


async def _read(request: Request, form: UploadForm, bytes_per_second: int) -> UploadForm:
    try:
        async for chunk in request.stream():
            form.feed(chunk)
            if bytes_per_second:
                await asyncio.sleep(len(chunk) / bytes_per_second)
    except FormParserError as exc:
        raise BrokenUpload from exc
    return form


def last_members(form: UploadForm) -> dict[str, Any]:
    """The form's members, for tests that check what was sent."""
    return {**form.fields, "file": {"filename": form.file_name, "size": form.size}}
