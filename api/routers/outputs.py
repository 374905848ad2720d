"""GET /tasks/{task_id}/outputs/{n}: a result's bytes, kept here or relayed from RunningHub."""

import logging
from collections.abc import AsyncIterable, AsyncIterator
from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Header, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api.byte_ranges import ByteRange, Unsatisfiable, applies, matches, requested_range, single_range
from api.dependencies import TASK_ERRORS, PrincipalDep, ServicesDep, TaskRef, new_router, principal_of
from api.openapi import OUTPUTS, problem_responses
from api.paths import HAS_TOKEN
from api.problems import problem_response
from errors import (
    AppError,
    Forbidden,
    InvalidRequest,
    OutputGone,
    OutputNotFound,
    OutputUnavailable,
    RangeNotSatisfiable,
    RunningHubTimeout,
    RunningHubUnavailable,
)
from files.media_types import file_name, is_shown_inline
from files.output_store import ByteStream, StoreUnavailable
from files.result_download import Download, DownloadFailed
from files.thumbnails import MEDIA_TYPE as THUMBNAIL_TYPE
from files.zip_stream import zip_stream
from models import Output, OutputState, Task
from services import Services

log = logging.getLogger(__name__)

# Shown on its own in a browser's tab, a file may use nothing but itself.
CONTENT_SECURITY_POLICY = (
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
)
COMMON_HEADERS = {
    # May be kept by the client, which asks whether it is current: it may have been deleted here.
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}
BINARY = {"type": "string", "format": "binary"}
CONTENT = {"content": {"*/*": {"schema": BINARY}}}

OutputNumber = Annotated[int, PathParameter(ge=0, le=1_000_000)]

router = new_router(OUTPUTS)


class FileResponse(StreamingResponse):
    """Closes its source however it ends: also where only the headers were sent, or the client has gone."""

    def __init__(self, source: ByteStream, status_code: int, headers: dict[str, str]) -> None:
        super().__init__(_guarded(source), status_code, headers)
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._source.aclose()


async def _guarded(source: AsyncIterable[bytes | memoryview]) -> AsyncIterator[bytes | memoryview]:
    try:
        async for chunk in source:
            yield chunk
    except (StoreUnavailable, DownloadFailed, AppError) as exc:
        log.warning("an output broke off", extra={"reason": str(exc)})
        # The headers are sent: the connection has to be cut, so that nobody takes a part for the whole.
        raise ClientDisconnect from exc


async def find_task(
    task_id: TaskRef,
    n: OutputNumber,
    request: Request,
    services: ServicesDep,
    expires: Annotated[str | None, Query(max_length=20, description="Part of a signed link.")] = None,
    signature: Annotated[str | None, Query(max_length=100, description="Part of a signed link.")] = None,
) -> Task:
    """The output's task. A token opens its owner's tasks; a signed link opens its output to everybody."""
    if HAS_TOKEN in request.scope or signature is None:
        principal = principal_of(request)
        task = await services.tasks.task(task_id)
        if principal.may_see(task.owner) or signature is None:
            return await services.tasks.task(task_id, principal)
    services.outputs.check_link(f"/tasks/{task_id}/outputs/{n}", expires or "", signature)
    return await services.tasks.task(task_id)


@router.get(
    "/tasks/{task_id}/outputs/{n}",
    summary="A result's bytes",
    description="Authorised by a token, or by the signed link in the Task's `outputs`. Relayed from"
    " RunningHub until the output is kept. Supports Range, If-Range and If-None-Match.",
    response_class=Response,
    responses=problem_responses(
        InvalidRequest,
        Forbidden,
        *TASK_ERRORS,
        OutputNotFound,
        OutputGone,
        OutputUnavailable,
        RangeNotSatisfiable,
        RunningHubUnavailable,
        RunningHubTimeout,
    )
    | {200: CONTENT, 206: CONTENT, 304: {"description": "The client's copy is current."}},
)
async def get_output(
    n: OutputNumber,
    task: Annotated[Task, Depends(find_task)],
    services: ServicesDep,
    download: Annotated[bool, Query(description="As an attachment, also what a browser could show.")] = False,
    thumbnail: Annotated[bool, Query(description="A small WebP of a kept image instead.")] = False,
    byte_range: Annotated[str | None, Header(alias="Range", max_length=200)] = None,
    if_range: Annotated[str | None, Header(max_length=200)] = None,
    if_none_match: Annotated[str | None, Header(max_length=2000)] = None,
) -> Response:
    output = await services.outputs.find(task, n)
    if thumbnail:
        return await _thumbnail_response(services, output, if_none_match)
    headers = _headers(output, is_attachment=download or not is_shown_inline(output.media_type))
    etag = headers.get("ETag")
    if etag and matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    if not applies(if_range, etag):
        byte_range = None
    if output.state is OutputState.KEPT:
        response = await _kept_response(services, output, byte_range, headers)
        if response is not None:
            return response
    return await _relay_response(services, output, byte_range, headers)


@router.get(
    "/tasks/{task_id}/outputs.zip",
    summary="All results of a task in one archive",
    description="Made while it is sent; results that are gone are left out.",
    response_class=Response,
    responses=problem_responses(InvalidRequest, *TASK_ERRORS, OutputNotFound, OutputGone)
    | {200: {"content": {"application/zip": {"schema": BINARY}}}},
)
async def get_outputs_zip(task_id: TaskRef, services: ServicesDep, principal: PrincipalDep) -> Response:
    task = await services.tasks.task(task_id, principal)
    outputs = await services.outputs.of_task(task)
    if not outputs:
        raise OutputNotFound("The task has no outputs.")
    found = [output for output in outputs if services.outputs.is_obtainable(output)]
    if not found:
        raise OutputGone("All outputs of the task are gone.")
    files = zip(
        _unique_names(found), (partial(services.outputs.open, output) for output in found), strict=True
    )
    headers = {"Content-Disposition": f'attachment; filename="{task.id}.zip"'}
    return StreamingResponse(_guarded(zip_stream(files)), headers=headers, media_type="application/zip")


def _unique_names(outputs: list[Output]) -> list[str]:
    names = [_name(output) for output in outputs]
    return [
        name if names.count(name) == 1 else f"{output.n + 1}-{name}"
        for name, output in zip(names, outputs, strict=True)
    ]


def _name(output: Output) -> str:
    return file_name(output.n, output.file_type, output.source_url)


async def _thumbnail_response(services: Services, output: Output, if_none_match: str | None) -> Response:
    """Always the whole of it: nobody needs a range of a few kilobytes."""
    source = await services.outputs.open_thumbnail(output)
    etag = f'"{output.sha256}.thumbnail"'
    headers = COMMON_HEADERS | {"Content-Type": THUMBNAIL_TYPE, "ETag": etag}
    if matches(if_none_match, etag):
        await source.aclose()
        return Response(status_code=304, headers=headers)
    return FileResponse(source, 200, headers | {"Content-Length": str(output.thumbnail_size)})


async def _kept_response(
    services: Services, output: Output, byte_range: str | None, headers: dict[str, str]
) -> Response | None:
    """None: the file has disappeared."""
    size = output.size or 0
    try:
        wanted = requested_range(byte_range, size)
    except Unsatisfiable:
        return _not_satisfiable(f"bytes */{size}")
    part = wanted or ByteRange(0, size, size)
    source = await services.outputs.open_kept(output, part.start, part.stop)
    if source is None:
        return None
    headers["Content-Length"] = str(part.stop - part.start)
    if wanted is None:
        return FileResponse(source, 200, headers)
    headers["Content-Range"] = wanted.content_range
    return FileResponse(source, 206, headers)


async def _relay_response(
    services: Services, output: Output, byte_range: str | None, headers: dict[str, str]
) -> Response:
    headers.pop("ETag", None)  # RunningHub's file may not be the one whose hash is known
    download = await services.outputs.relay(output, single_range(byte_range))
    if download.status == 416:
        download.close()
        return _not_satisfiable(download.content_range)
    if download.status == 206 and download.content_range:
        headers["Content-Range"] = download.content_range
    size = download.content_length
    if size is None:
        return FileResponse(download, download.status, headers)
    headers["Content-Length"] = str(size)
    if download.status == 206 or byte_range is None:
        return FileResponse(download, download.status, headers)
    return _cut_response(download, byte_range, size, headers)


def _cut_response(download: Download, byte_range: str, size: int, headers: dict[str, str]) -> Response:
    """A range of a file whose host knows no ranges: what is not wanted is dropped here."""
    try:
        wanted = requested_range(byte_range, size)
    except Unsatisfiable:
        download.close()
        return _not_satisfiable(f"bytes */{size}")
    if wanted is None:
        return FileResponse(download, 200, headers)
    headers |= {"Content-Length": str(wanted.stop - wanted.start), "Content-Range": wanted.content_range}
    return FileResponse(_Cut(download, wanted), 206, headers)


class _Cut:
    """The wanted range of a stream."""

    def __init__(self, source: ByteStream, wanted: ByteRange) -> None:
        self._source = source
        self._wanted = wanted

    async def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        position = 0
        async for chunk in self._source:
            first = max(0, self._wanted.start - position)
            last = min(len(chunk), self._wanted.stop - position)
            if first < last:
                yield chunk[first:last]
            position += len(chunk)
            if position >= self._wanted.stop:
                return

    async def aclose(self) -> None:
        await self._source.aclose()


def _not_satisfiable(content_range: str | None) -> Response:
    problem = RangeNotSatisfiable("The range lies outside the output; Content-Range has its size.")
    return problem_response(problem, {"Content-Range": content_range} if content_range else None)


def _headers(output: Output, *, is_attachment: bool) -> dict[str, str]:
    media_type = output.media_type
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    headers = {
        "Content-Type": media_type,
        "Content-Disposition": _disposition(output, "attachment" if is_attachment else "inline"),
        "Accept-Ranges": "bytes",
        **COMMON_HEADERS,
    }
    if output.sha256 and output.state is OutputState.KEPT:
        headers["ETag"] = f'"{output.sha256}"'
    return headers


def _disposition(output: Output, kind: str) -> str:
    """Both spellings of a name that is not ASCII (RFC 6266)."""
    name = _name(output)
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{kind}; filename="{plain}"{extended}'
