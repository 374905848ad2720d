"""Result files as an object store serves them: signed links that expire, ranges, no CORS headers."""

import asyncio
import hashlib
import random
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from simulator import links, results
from simulator.apps import APPS
from simulator.context import Simulator, simulator_of
from simulator.state import Task

# Files do not change: a page that shows many results again does not have them drawn again.
CACHED = {"Cache-Control": "public, max-age=86400, immutable"}
CHUNK = 64 * 1024
MEGABYTE = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A result: its real content, and the padding that makes it as large as the switches say."""

    content: bytes
    padding: bytes
    """A block that is repeated after the content."""
    size: int
    etag: str
    media_type: str

    def part(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`."""
        head = self.content[start:stop]
        first, length = max(start, len(self.content)), stop - start - len(head)
        offset = first % len(self.padding)
        repeated = self.padding * (length // len(self.padding) + 2)
        return head + repeated[offset : offset + length]


async def get_file(request: Request) -> Response:
    """A result, or a part of it."""
    simulator, name = simulator_of(request), request.path_params["name"]
    task = _task_of(simulator, name)
    if task is None:
        return not_found()
    query = request.query_params
    expires = query.get(links.EXPIRES, "")
    if not links.is_signed(name, expires, query.get(links.SIGNATURE, "")):
        return _error(403, "SignatureDoesNotMatch", "The Signature you specified is invalid.")
    if _has_expired(simulator, task, int(expires)):
        return _error(403, "AccessDenied", "Request has expired")
    return _respond(await _stored(simulator, task, name), request, simulator)


def _task_of(simulator: Simulator, name: str) -> Task | None:
    """The finished task that made a file, or None."""
    task = simulator.state.tasks.get(name.partition("_")[0])
    if task is None or task.status(simulator.state.clock()) != "SUCCESS":
        return None
    names = [
        links.file_name(task, number, extension)
        for number, (_, extension) in enumerate(task.app.outputs, start=1)
    ]
    return task if name in names else None


def _has_expired(simulator: Simulator, task: Task, expires: int) -> bool:
    """A link ends when it says so, and when the switch has been lowered since."""
    now = task.started_at + simulator.state.clock() - task.started
    return now > expires or now > task.ended_at + simulator.state.switches.files_ttl


async def _stored(simulator: Simulator, task: Task, name: str) -> StoredFile:
    switches = simulator.state.switches
    extension = name.rpartition(".")[2]
    content = await simulator.rendered.content(task, name, extension, simulator.uploads)
    size = max(len(content), switches.files_megabytes * MEGABYTE) + switches.files_version
    tag = hashlib.md5(f"{name} {size}".encode(), usedforsecurity=False).hexdigest()
    return StoredFile(content, _padding(name), size, f'"{tag}"', results.MEDIA_TYPES[extension])


def _padding(name: str) -> bytes:
    """Bytes that differ from file to file; letters for a text."""
    noise = random.Random(name).randbytes(CHUNK)
    return noise.hex().encode() if name.endswith(".txt") else noise


def _respond(file: StoredFile, request: Request, simulator: Simulator) -> Response:
    headers = {**CACHED, "ETag": file.etag, "Accept-Ranges": "bytes"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    part = _requested_part(request.headers, file)
    if part is None:
        start, stop, status = 0, file.size, 200
    else:
        start, stop, status = *part, 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    if start >= stop:
        return _error(416, "InvalidRange", "The range is invalid.", {"Content-Range": f"bytes */{file.size}"})
    headers["Content-Length"] = str(stop - start)
    if request.method == "HEAD":
        return Response(None, status, headers, file.media_type)
    speed = simulator.state.switches.files_bytes_per_second
    return StreamingResponse(_stream(file, start, stop, speed), status, headers, file.media_type)


def _requested_part(headers: Mapping[str, str], file: StoredFile) -> tuple[int, int] | None:
    """Start and stop of a Range header that applies; an empty part cannot be sent. None: the whole file."""
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None or headers.get("if-range", file.etag) != file.etag:
        return None
    first, last = found.groups()
    if first:
        return int(first), min(file.size, int(last) + 1 if last else file.size)
    return (max(0, file.size - int(last)), file.size) if last else None


async def _stream(file: StoredFile, start: int, stop: int, bytes_per_second: int) -> AsyncIterator[bytes]:
    chunk = min(CHUNK, bytes_per_second // 10 or 1) if bytes_per_second else CHUNK
    for position in range(start, stop, chunk):
        part = file.part(position, min(stop, position + chunk))
        yield part
        if bytes_per_second:
            await asyncio.sleep(len(part) / bytes_per_second)


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as an object store reports it."""
    details = f"<Code>{code}</Code><Message>{message}</Message>"
    body = f"<?xml version='1.0' encoding='utf-8' ?>\n<Error>{details}</Error>"
    return Response(body, status, headers, media_type="application/xml")


async def get_upload(request: Request) -> Response:
    """An uploaded file, at the address that v2 gives it."""
    path = simulator_of(request).uploads.path(request.path_params["name"])
    return not_found() if path is None else FileResponse(path, headers=CACHED)


async def get_cover(request: Request) -> Response:
    """An app's cover."""
    app = APPS.get(request.path_params["name"].removesuffix(".png"))
    if app is None:
        return not_found()
    content = await run_in_threadpool(results.cover_picture, app)
    return Response(content, media_type="image/png", headers=CACHED)


def not_found() -> Response:
    """There is no such file."""
    return _error(404, "NoSuchKey", "The specified key does not exist.")


PATHS = ("/files/", "/covers/", "/uploads/")
"""What the paths of files begin with."""
ROUTES = [
    Route("/files/{name}", get_file, methods=["GET"]),
    Route("/uploads/{name}", get_upload, methods=["GET"]),
    Route("/covers/{name}", get_cover, methods=["GET"]),
]
