"""Thumbnails: of every format, small and upright; a picture that breaks the program harms nothing else."""

import asyncio
import io
import os
import struct
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from files.thumbnail_process import LONGEST_SIDE, MAX_PIXELS, make_thumbnail
from files.thumbnails import MAX_SOURCE_BYTES, ThumbnailMaker

pytestmark = pytest.mark.anyio

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def thumbnail(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(make_thumbnail(data)))
    image.load()
    return image


async def arriving(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 100_000):
        yield data[at : at + 100_000]
        await asyncio.sleep(0)


async def made(data: bytes) -> bytes | None:
    return await ThumbnailMaker().make(arriving(data))


# What it looks like


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
def test_an_image_of_every_format_becomes_a_small_webp(kind: str) -> None:
    image = thumbnail(picture(Image.new("RGB", (1200, 600), RED), kind))
    assert (image.format, image.size) == ("WEBP", (LONGEST_SIDE, LONGEST_SIDE // 2))
    red, green, blue = image.convert("RGB").getpixel((100, 100))  # type: ignore[misc]
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_an_image_of_every_mode_becomes_one(mode: str) -> None:
    assert thumbnail(picture(Image.new(mode, (800, 800)))).size == (LONGEST_SIDE, LONGEST_SIDE)


def test_a_printers_colours_become_a_screens() -> None:
    assert thumbnail(picture(Image.new("CMYK", (800, 800)), "JPEG")).mode == "RGB"


def test_a_small_image_keeps_its_size() -> None:
    assert thumbnail(picture(Image.new("RGB", (20, 10)))).size == (20, 10)


def test_a_very_long_image_keeps_one_pixel() -> None:
    assert thumbnail(picture(Image.new("RGB", (4000, 2)))).size == (LONGEST_SIDE, 1)


def test_what_is_transparent_stays_so() -> None:
    image = thumbnail(picture(Image.new("RGBA", (800, 800), (255, 0, 0, 0))))
    assert image.mode == "RGBA"
    assert image.getchannel("A").getextrema() == (0, 0)


def test_a_photo_that_lies_on_its_side_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° to be seen as it was taken
    assert thumbnail(picture(Image.new("RGB", (800, 400)), "JPEG", exif=exif)).size == (192, LONGEST_SIDE)


def test_an_animation_shows_its_first_frame() -> None:
    frames = [Image.new("RGB", (50, 50), colour) for colour in (RED, BLUE)]
    data = picture(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    red, _, blue = thumbnail(data).convert("RGB").getpixel((25, 25))  # type: ignore[misc]
    assert red > 200 > blue


def test_numbers_that_no_screen_shows_have_none() -> None:
    data = picture(Image.new("I;16", (80, 80)))
    with pytest.raises(ValueError, match="not shown"):
        make_thumbnail(data)


@pytest.mark.parametrize("kind", ["TIFF", "ICO", "PPM"])
def test_other_decoders_are_never_used(kind: str) -> None:
    data = picture(Image.new("RGB", (80, 80)), kind)
    with pytest.raises(OSError, match="cannot identify image"):
        make_thumbnail(data)


# The process


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header says that it is this large, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))


async def test_the_process_makes_what_the_function_makes() -> None:
    data = picture(Image.effect_noise((900, 700), 50))
    assert await made(data) == make_thumbnail(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        os.urandom(300_000),
        picture(Image.effect_noise((900, 700), 50))[:50_000],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        png_of(MAX_PIXELS, 2),
        png_of(30_000, 30_000),
    ],
    ids=["empty", "text", "random", "cut off", "svg", "too wide", "a bomb"],
)
async def test_what_cannot_be_read_has_no_thumbnail(data: bytes) -> None:
    assert await made(data) is None


def program(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "program.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "import sys; sys.exit(1)",
        "import os; os.abort()",
        "import sys; sys.stdin.buffer.read()",
        "import sys; sys.stdin.buffer.read(); sys.stdout.buffer.write(bytes(2**20 + 1))",
        "import sys; sys.stdin.buffer.read(); print('half'); sys.exit(1)",
    ],
    ids=["fails at once", "crashes", "writes nothing", "writes too much", "fails after writing"],
)
async def test_a_program_that_fails_makes_no_thumbnail(tmp_path: Path, text: str) -> None:
    maker = ThumbnailMaker(program=program(tmp_path, text))
    assert await maker.make(arriving(bytes(10**6))) is None


async def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    path = program(tmp_path, "import sys, time; sys.stdin.buffer.read(); time.sleep(60)")
    maker = ThumbnailMaker(program=path, timeout_s=0.2)
    assert await maker.make(arriving(b"x")) is None


# 100 kB: more than a pipe holds, so that the rest waits in this process.
@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_cancelled_thumbnail_leaves_no_process(tmp_path: Path, size: int) -> None:
    running = tmp_path / "running"
    path = program(
        tmp_path, f"import os, time; open({str(running)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    making = asyncio.create_task(ThumbnailMaker(program=path).make(arriving(bytes(size))))
    while not (running.exists() and running.read_text()):  # noqa: ASYNC110 - another process's file
        await asyncio.sleep(0.01)
    making.cancel()
    await asyncio.wait([making])
    with pytest.raises(ProcessLookupError):
        os.kill(int(running.read_text()), 0)


async def test_the_program_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNINGHUB_API_KEY", "a-key")
    path = program(tmp_path, "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))")
    assert await ThumbnailMaker(program=path).make(arriving(b"")) == b"[]\n"


async def test_the_program_may_use_little_memory_and_time() -> None:
    program = (
        "from resource import *; from files.thumbnail_process import limit_process; limit_process();"
        " print(getrlimit(RLIMIT_AS)[0], getrlimit(RLIMIT_CPU)[0])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output == f"{512 * 2**20} 20\n".encode()


async def test_what_breaks_off_the_image_comes_back() -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"\x89PNG"
        raise ValueError("the store is gone")

    with pytest.raises(ValueError, match="the store is gone"):
        await ThumbnailMaker().make(breaking())


async def test_a_program_that_cannot_be_started_makes_no_thumbnail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert await made(b"x") is None
    assert "thumbnails cannot be made" in caplog.text


@pytest.mark.parametrize(
    ("media_type", "size", "is_made"),
    [
        ("image/png", 1, True),
        ("image/png", MAX_SOURCE_BYTES, True),
        ("image/png", MAX_SOURCE_BYTES + 1, False),
        ("image/png", 0, False),
        ("image/svg+xml", 1, False),
        ("image/tiff", 1, False),
        ("video/mp4", 1, False),
        ("text/plain", 1, False),
    ],
)
def test_only_images_of_usual_size_get_one(media_type: str, size: int, is_made: bool) -> None:
    assert ThumbnailMaker().is_made_for(media_type, size) is is_made
