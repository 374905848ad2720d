"""A task's outputs for whoever reads them: their links, their kept bytes, and relays from RunningHub."""

import math
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from db.output_rows import OutputRows
from errors import (
    Forbidden,
    OutputGone,
    OutputNotFound,
    OutputUnavailable,
    RunningHubTimeout,
    RunningHubUnavailable,
)
from files.media_types import media_type_of
from files.output_store import ByteStream, FileMissing, OutputStore, StoreUnavailable, thumbnail_key
from files.result_download import Download, DownloadFailed, ResultDownloader, ResultNotAllowed
from models import Json, NewOutput, Output, OutputState, Task, TaskStatus
from secret_key import SecretKey

# The value of OUTPUTS_URL that turns keeping off.
OUTPUTS_NOT_KEPT = "none"
# A host's response to a link that has expired.
LINK_EXPIRED = frozenset({400, 401, 403, 404, 410})


def new_outputs(results: Iterable[Json], *, is_kept: bool) -> tuple[NewOutput, ...]:
    """What RunningHub's results are at first, in either of its spellings."""
    return tuple(
        _new_output(n, result, is_kept=is_kept)
        for n, result in enumerate(results)
        if isinstance(result, dict)
    )


def _new_output(n: int, result: dict[str, Any], *, is_kept: bool) -> NewOutput:
    url = _text(result.get("fileUrl")) or _text(result.get("url"))
    file_type = _text(result.get("fileType")) or _text(result.get("outputType"))
    text = None if url else _text(result.get("text"))
    return NewOutput(
        n=n,
        state=_first_state(url, text, is_kept=is_kept),
        media_type=media_type_of(file_type, url) if url else "text/plain",
        source_url=url,
        file_type=file_type,
        node_id=_text(result.get("nodeId")),
        text=text,
    )


def _first_state(url: str | None, text: str | None, *, is_kept: bool) -> OutputState:
    if url:
        return OutputState.KEEPING if is_kept else OutputState.NOT_KEPT
    return OutputState.KEPT if text else OutputState.LOST


def _text(value: Json) -> str | None:
    """Without half surrogate pairs, which JSON may contain and no file can store."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and value else None


class Outputs:
    """Reads outputs; `OutputCopier` writes them. `store` is None where OUTPUTS_URL is `none`."""

    def __init__(
        self,
        rows: OutputRows,
        store: OutputStore | None,
        relays: ResultDownloader,
        secret: SecretKey,
        *,
        link_ttl_s: float,
        clock: Callable[[], int],
    ) -> None:
        self._rows = rows
        self._store = store
        self._relays = relays
        self._secret = secret
        self._link_ttl_s = link_ttl_s
        self._clock = clock

    async def of_task(self, task: Task) -> list[Output]:
        return await self._rows.of_task(task.id) if task.status is TaskStatus.SUCCESS else []

    async def of_tasks(self, tasks: Iterable[Task]) -> dict[str, list[Output]]:
        """By task id; a task without outputs is not in it."""
        task_ids = [task.id for task in tasks if task.status is TaskStatus.SUCCESS]
        return await self._rows.of_tasks(task_ids) if task_ids else {}

    async def find(self, task: Task, n: int) -> Output:
        """Raises OutputNotFound."""
        for output in await self.of_task(task):
            if output.n == n:
                return output
        raise OutputNotFound(f"The task has no output {n}; its member `outputs` lists them all.")

    # Links

    def link(self, output: Output) -> str:
        """An address, relative to this service's, that works without a token for a while."""
        path, expires = f"/tasks/{output.task_id}/outputs/{output.n}", self._link_end_s()
        return f"{path}?expires={expires}&signature={self._secret.output_signature(path, expires)}"

    def _link_end_s(self) -> int:
        """In steps of a hundredth of the lifetime: a page that polls does not get a new link each time."""
        step_s = int(self._link_ttl_s // 100)
        end_s = self._clock() / 1000 + self._link_ttl_s
        return math.ceil(end_s) if step_s < 2 else int(end_s // step_s * step_s)

    def check_link(self, path: str, expires: str, signature: str) -> None:
        """Raises Forbidden where the link is not one of ours, is for another output, or has expired."""
        is_number = expires.isascii() and expires.isdecimal() and len(expires) < 16
        if not is_number or not self._secret.is_output_signature(path, int(expires), signature):
            raise Forbidden("The link is not valid. The Task's member `outputs` has a valid one.")
        if int(expires) * 1000 <= self._clock():
            raise Forbidden("The link has expired. Get the Task again: its member `outputs` has a new one.")

    # Bytes

    async def open_kept(self, output: Output, start: int, stop: int) -> ByteStream | None:
        """Part of a kept file. None: it has disappeared, and may be relayed instead while it is copied again.

        Raises OutputUnavailable where the store does not work and RunningHub's link has expired.
        """
        if output.storage_key is None:
            text = await self._rows.text(output) if output.text is None else output.text
            return _Bytes(text.encode()[start:stop])
        try:
            if self._store is None:
                raise FileMissing
            return await self._store.open(output.storage_key, start, stop)
        except FileMissing:
            await self._rows.keep_again(output)
            return None
        except StoreUnavailable as exc:
            if self._has_link(output):
                return None
            raise _unavailable() from exc

    async def open_thumbnail(self, output: Output) -> ByteStream:
        """Raises OutputNotFound where it has none, OutputUnavailable where the store does not work."""
        if self._store is None or output.storage_key is None or output.thumbnail_size is None:
            raise OutputNotFound(_NO_THUMBNAIL)
        try:
            return await self._store.open(thumbnail_key(output.storage_key), 0, output.thumbnail_size)
        except FileMissing:
            await self._rows.forget_thumbnail(output)
            raise OutputNotFound(_NO_THUMBNAIL) from None
        except StoreUnavailable as exc:
            raise _unavailable() from exc

    async def relay(self, output: Output, byte_range: str | None) -> Download:
        """RunningHub's response for the file.

        Raises OutputGone where the link has expired, and RunningHubUnavailable or RunningHubTimeout where
        the file's host does not respond.
        """
        if not self._has_link(output):
            raise OutputGone(_GONE[output.state])
        try:
            return await self._relays.open(output.source_url or "", byte_range=byte_range)
        except ResultNotAllowed as exc:
            raise OutputGone(
                "RunningHub's address of this file is not one that may be fetched from."
            ) from exc
        except DownloadFailed as exc:
            raise _relay_problem(output, exc) from exc

    def is_obtainable(self, output: Output) -> bool:
        """Whether its bytes are kept here, or can be expected from RunningHub."""
        return output.state is OutputState.KEPT or self._has_link(output)

    async def open(self, output: Output) -> ByteStream:
        """All of its bytes, from wherever they are; raises what `open_kept` and `relay` do."""
        if output.state is OutputState.KEPT:
            source = await self.open_kept(output, 0, output.size or 0)
            if source is not None:
                return source
        return await self.relay(output, None)

    def _has_link(self, output: Output) -> bool:
        """A copy that is still in progress has not found the link to be dead."""
        is_alive = output.state is OutputState.KEEPING or self._clock() < output.expires_ms
        return output.source_url is not None and is_alive


class _Bytes:
    """A text, which is in its row, in the place of a file."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._data:
            yield self._data

    async def aclose(self) -> None:
        """Nothing is open."""


_NO_THUMBNAIL = "The output has no thumbnail: its `thumbnail_url` in the Task is null."
_EXPIRED = "RunningHub's link has expired."
_GONE = {
    OutputState.KEEPING: f"The output has not been kept in time, and {_EXPIRED}",
    OutputState.KEPT: f"The kept file has disappeared, and {_EXPIRED}",
    OutputState.TOO_LARGE: f"The output is larger than OUTPUTS_MAX_FILE_MB and was not kept, and {_EXPIRED}",
    OutputState.LOST: f"The output could not be fetched from RunningHub in time, and {_EXPIRED}",
    OutputState.DELETED: f"The output was deleted after OUTPUTS_KEEP_DAYS, and {_EXPIRED}",
    OutputState.NOT_KEPT: f"Outputs are not kept here (OUTPUTS_URL=none), and {_EXPIRED}",
}


def _unavailable() -> OutputUnavailable:
    return OutputUnavailable(
        "The place where outputs are kept does not respond. Try again shortly.", retry_after=5
    )


def _relay_problem(output: Output, exc: DownloadFailed) -> Exception:
    if exc.status in LINK_EXPIRED:
        return OutputGone(_GONE[output.state])
    if exc.is_timeout:
        return RunningHubTimeout("RunningHub's file host did not respond in time. Try again shortly.")
    return RunningHubUnavailable(
        "RunningHub's file host cannot be reached. Try again shortly.", retry_after=5
    )
