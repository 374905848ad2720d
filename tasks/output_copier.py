"""Copies results to the place where they are kept, and deletes what nothing refers to any more.

RunningHub's links work for a day. Until then a copy that failed is repeated, across restarts.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from db.output_rows import OutputRows
from files import media_types
from files.output_store import FileMissing, OutputStore, StoredFile, StoreUnavailable, thumbnail_key
from files.result_download import (
    Download,
    DownloadFailed,
    ResultDownloader,
    ResultNotAllowed,
    ResultTooLarge,
)
from files.thumbnails import ThumbnailMaker
from models import MAX_TEXT_BYTES, Output, OutputState
from tasks.leased_work import LeasedWork

log = logging.getLogger(__name__)

COPIES_AT_ONCE = 4
DELETIONS_AT_ONCE = 4
INTERVAL_S = 0.5
LEASE_MS = 60_000
THUMBNAIL_LEASE_MS = 180_000  # longer than one may take: see `files.thumbnails.TIMEOUT_S`
RENEW_S = 20.0
# The first retry of a copy, which doubles with every failed download; a store that does not work is tried
# again after this time always, so that copies resume soon after it is back.
RETRY_S = 5.0
RETRY_MAX_S = 300.0
STORE_CHECK_S = 5.0
# A copy that is slower is repeated: a host that sends a byte now and then must not hold up all others.
PATIENCE_S = 60.0
SLOWEST_BYTES_PER_S = 20_000


class OutputCopier:
    """Three loops over rows: copies, thumbnails of what was copied, and deletions of files.

    `problem` says, for the operator, why nothing can be kept at the moment; None: copies work.
    """

    def __init__(
        self,
        outputs: OutputRows,
        store: OutputStore,
        downloads: ResultDownloader,
        *,
        clock: Callable[[], int],
        max_file_bytes: int,
        thumbnails: ThumbnailMaker | None = None,
        retry_s: float = RETRY_S,
        check_s: float = STORE_CHECK_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._outputs = outputs
        self._store = store
        self._downloads = downloads
        self._clock = clock
        self._max_file_bytes = max_file_bytes
        self._thumbnails = thumbnails
        self._retry_s = retry_s
        self._check_s = check_s
        self._patience_s = patience_s
        self._next_check = 0.0
        self._is_check_failing = False
        self.problem: StoreUnavailable | None = None
        self._copies: LeasedWork[Output] = LeasedWork(
            "keeping outputs",
            lease=self._lease,
            work=self.copy,
            renew=lambda outputs: self._outputs.renew(outputs, lease_ms=LEASE_MS),
            renew_s=RENEW_S,
            at_once=COPIES_AT_ONCE,
            interval_s=INTERVAL_S,
        )
        # One at a time: the memory limit of one is the limit of all.
        self._thumbnail_work: LeasedWork[Output] = LeasedWork(
            "making thumbnails",
            lease=self._lease_thumbnails,
            work=self.make_thumbnail,
            at_once=1,
            interval_s=INTERVAL_S,
        )
        self._deletions: LeasedWork[str] = LeasedWork(
            "deleting files",
            lease=lambda limit: self._outputs.lease_files_to_delete(lease_ms=LEASE_MS, limit=limit),
            work=self.delete_file,
            at_once=DELETIONS_AT_ONCE,
            interval_s=INTERVAL_S,
        )

    async def run(self) -> None:
        """Until cancelled; copies in progress have ended when this returns."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._copies.run())
            loops.create_task(self._thumbnail_work.run())
            loops.create_task(self._deletions.run())

    def wake(self) -> None:
        """A task has ended: start its copies now."""
        self._copies.wake()

    # Copies

    async def _lease(self, limit: int) -> list[Output]:
        """What is due now: nothing while the store does not work, one copy as a trial after a failure."""
        if time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + self._check_s
            await self._check_store()
            await self._outputs.pull_due(longest_ms=_ms(2 * RETRY_MAX_S))
            limit = 1 if self.problem else limit
        elif self.problem:
            return []
        return [] if self._is_check_failing else await self._outputs.lease(lease_ms=LEASE_MS, limit=limit)

    async def _check_store(self) -> None:
        try:
            await self._store.check()
        except StoreUnavailable as exc:
            self._is_check_failing = True
            self._store_failed(exc)
            return
        if self._is_check_failing:
            self._is_check_failing = False
            self._store_works()

    async def copy(self, output: Output) -> None:
        """Copy one output and store what became of it."""
        try:
            kept = await self._copy(output)
        except ResultNotAllowed as exc:
            await self._lost(output, str(exc))
        except ResultTooLarge:
            await self._outputs.not_kept(output, OutputState.TOO_LARGE)
        except DownloadFailed as exc:
            await self._download_failed(output, str(exc))
        except StoreUnavailable as exc:
            self._store_failed(exc)
            await self._outputs.retry(output, delay_ms=_ms(self._retry_s), failures=output.failures)
        except _NotClaimed:
            await self._outputs.retry(output, delay_ms=_ms(self._retry_s), failures=output.failures)
        else:
            self._store_works()
            self._thumbnail_work.wake()
            log.debug("output kept", extra={**_place(output), "bytes": kept.size})

    async def _copy(self, output: Output) -> StoredFile:
        async def claim(key: str) -> None:
            if not await self._outputs.claim_key(output, key):
                raise _NotClaimed

        download = await self._downloads.open(output.source_url or "")
        try:
            if download.status != 200:
                raise DownloadFailed(f"the file's host responded {download.status}", download.status)
            media_type = _media_type(output, download)
            text = _TextCopy(is_wanted=media_types.is_text(media_type))
            async with asyncio.timeout(self._time_for(download.content_length)):
                stored = await self._store.put(
                    _store_name(output),
                    text.passing(download.chunks(self._max_file_bytes)),
                    claim=claim,
                    media_type=media_type,
                    expected_bytes=download.content_length,
                )
        except TimeoutError:
            raise DownloadFailed("the copy took too long") from None
        finally:
            download.close()
        await self._outputs.kept(
            output,
            storage_key=stored.key,
            size=stored.size,
            sha256=stored.sha256,
            text=text.text,
            media_type=media_type,
            has_thumbnail=self._is_thumbnail_made(media_type, stored.size),
        )
        return stored

    def _time_for(self, size: int | None) -> float:
        return self._patience_s + (size or self._max_file_bytes) / SLOWEST_BYTES_PER_S

    async def _download_failed(self, output: Output, reason: str) -> None:
        if self._clock() >= output.expires_ms:
            await self._lost(output, reason)
            return
        delay_s = min(RETRY_MAX_S, self._retry_s * 2.0**output.failures) * random.uniform(0.8, 1)
        log.info("an output could not be fetched", extra={**_place(output), "reason": reason})
        await self._outputs.retry(output, delay_ms=_ms(delay_s), failures=output.failures + 1)

    async def _lost(self, output: Output, reason: str) -> None:
        log.warning("an output is lost", extra={**_place(output), "reason": reason})
        await self._outputs.not_kept(output, OutputState.LOST)

    def _store_failed(self, error: StoreUnavailable) -> None:
        if self.problem is None:
            log.warning("outputs are not being kept", extra={"reason": str(error)})
        self.problem = error

    def _store_works(self) -> None:
        if self.problem is not None:
            log.warning("outputs are being kept again")
            self.problem = None

    # Thumbnails: after the image is kept, so that nothing waits for them

    def _is_thumbnail_made(self, media_type: str, size: int) -> bool:
        return self._thumbnails is not None and self._thumbnails.is_made_for(media_type, size)

    async def _lease_thumbnails(self, limit: int) -> list[Output]:
        if self._thumbnails is None or self.problem:
            return []
        return await self._outputs.lease_thumbnails(lease_ms=THUMBNAIL_LEASE_MS, limit=limit)

    async def make_thumbnail(self, output: Output) -> None:
        """Where the store does not work, the row's lease brings it back."""
        try:
            size = await self._thumbnail_size(output)
        except FileMissing:
            size = None
        except StoreUnavailable as exc:
            log.info("a thumbnail could not be kept", extra={**_place(output), "reason": str(exc)})
            return
        await self._outputs.set_thumbnail(output, size)

    async def _thumbnail_size(self, output: Output) -> int | None:
        """Of the thumbnail that is in its place now; None: none can be made."""
        key = output.storage_key or ""
        size = await self._store.size(thumbnail_key(key))
        if size is not None or self._thumbnails is None:  # an equal result has been kept before
            return size
        image = await self._store.open(key, 0, output.size or 0)
        try:
            thumbnail = await self._thumbnails.make(image)
        finally:
            await image.aclose()
        if thumbnail is None:
            return None
        await self._store.put_thumbnail(key, thumbnail)
        return len(thumbnail)

    # Deletions

    async def delete_file(self, key: str) -> None:
        """Where the store does not work, the row's lease brings it back."""
        try:
            await self._store.delete(key)
        except StoreUnavailable as exc:
            log.info("a file could not be deleted", extra={"reason": str(exc)})
        else:
            await self._outputs.file_deleted(key)


class _NotClaimed(Exception):
    """The row is another worker's by now, or a file with the same content is just being deleted."""


class _TextCopy:
    """A short text on its way into the store, for its row."""

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_wanted = is_wanted
        self._data = bytearray()

    async def passing(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        async for chunk in chunks:
            if self._is_wanted:
                self._data += chunk
                self._is_wanted = len(self._data) <= MAX_TEXT_BYTES
            yield chunk

    @property
    def text(self) -> str | None:
        """None: it is no text, it is too long, or it is not UTF-8."""
        try:
            return self._data.decode("utf-8-sig") if self._is_wanted else None
        except UnicodeDecodeError:
            return None


def _media_type(output: Output, download: Download) -> str:
    """The host's own Content-Type counts only where RunningHub's file type says nothing."""
    known = output.media_type
    return download.media_type or known if known == media_types.UNKNOWN else known


def _store_name(output: Output) -> str:
    extension = media_types.extension_of(output.file_type, output.source_url)
    return f"{output.task_id}/{output.n}" + (f".{extension}" if extension else "")


def _place(output: Output) -> dict[str, object]:
    return {"task_id": output.task_id, "output": output.n}


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
