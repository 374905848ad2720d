"""Makes thumbnails of kept images, each in a process that may break without harm."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

log = logging.getLogger(__name__)

MEDIA_TYPE = "image/webp"
# The formats that `files.thumbnail_process` reads.
SOURCE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/avif"})
MAX_SOURCE_BYTES = 64 * 2**20
MAX_BYTES = 2**20
# Long, because the process gives way to all others.
TIMEOUT_S = 120.0
PROGRAM = Path(__file__).with_name("thumbnail_process.py")


class ThumbnailMaker:
    """Starts a process for each thumbnail. Without Pillow it makes none."""

    def __init__(self, *, program: Path = PROGRAM, timeout_s: float = TIMEOUT_S) -> None:
        self._program = program
        self._timeout_s = timeout_s
        self._is_available = find_spec("PIL") is not None

    def is_made_for(self, media_type: str, size: int) -> bool:
        """Whether a file of this type and size (bytes) gets a thumbnail, if it can be read."""
        return self._is_available and media_type in SOURCE_TYPES and 0 < size <= MAX_SOURCE_BYTES

    async def make(self, image: AsyncIterable[bytes | memoryview]) -> bytes | None:
        """A small WebP of the image. None: it cannot be read, is too large, or took too long.

        Passes on what `image` raises.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._run(image)
        except TimeoutError:
            log.info("a thumbnail took too long")
        except OSError as exc:
            log.warning("thumbnails cannot be made", extra={"reason": exc.strerror or str(exc)})
        return None

    async def _run(self, image: AsyncIterable[bytes | memoryview]) -> bytes | None:
        # Isolated and with an empty environment: neither the settings' secrets nor their folder are its own.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(self._program)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )
        try:
            await _send(image, process)
            thumbnail = await _received(process)
            is_whole = await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return thumbnail if is_whole else None


async def _send(image: AsyncIterable[bytes | memoryview], process: asyncio.subprocess.Process) -> None:
    """The program reads all of it before it writes; where it has ended already, its exit code says why."""
    stdin = process.stdin
    assert stdin is not None  # noqa: S101 - asked for above
    async for chunk in image:
        with suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(chunk)
            await stdin.drain()
    # Not waited for: asyncio does not expect such a wait to be cancelled.
    stdin.close()


async def _received(process: asyncio.subprocess.Process) -> bytes | None:
    assert process.stdout is not None  # noqa: S101 - asked for above
    data = await process.stdout.read(MAX_BYTES + 1)
    while data and len(data) <= MAX_BYTES and (more := await process.stdout.read(MAX_BYTES)):
        data += more
    return data if 0 < len(data) <= MAX_BYTES else None
