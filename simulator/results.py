"""The files a task gives, made when they are fetched: a picture of what arrived, a tone, a clip, a text."""

import bisect
import functools
import hashlib
import io
import math
import random
import shutil
import struct
import subprocess
import wave
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

from simulator.apps import App, Node
from simulator.node_check import as_text
from simulator.state import Task
from simulator.uploads import UploadStore

MEDIA_TYPES = {"png": "image/png", "txt": "text/plain; charset=utf-8", "wav": "audio/wav", "mp4": "video/mp4"}
_CLIP = Path(__file__).parent / "assets" / "result.mp4"
_WIDTH, _ART_HEIGHT, _MARGIN = 1024, 576, 40
_VALUES_AT, _LABEL_WIDTH, _LINE_HEIGHT = 380, 320, 32
_LONGEST_VALUE = 400
_INK, _FAINT, _PAPER, _ACCENT = "#1f2430", "#7a8194", "#fbfaf7", "#b4451f"
_NO_CJK_NOTE = "(no Chinese font on this system: Chinese text is drawn as boxes)"
_CJK_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/Hiragino Sans GB.ttc",
    "/System/Library/Fonts/STHeiti Light.ttc",
    "C:/Windows/Fonts/msyh.ttc",
    "C:/Windows/Fonts/simsun.ttc",
)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Row(NamedTuple):
    """One line of the text under the art, its value perhaps over several."""

    label: str
    lines: list[str]
    colour: str


def make(task: Task, extension: str, uploads: UploadStore) -> bytes:
    """The bytes of a result file."""
    match extension:
        case "png":
            return result_picture(task, uploads)
        case "wav":
            return tone(_digest(values_text(task)))
        case "mp4":
            return _CLIP.read_bytes()
        case _:
            return values_text(task).encode()


def chosen_values(task: Task) -> list[tuple[Node, str, bool]]:
    """Every field of the app with the value of this run, and whether the run gave it."""
    if task.app.kind == "model":
        return [(_parameter(task, name), as_text(value), True) for name, value in task.request.items()]
    items = task.request.get("nodeInfoList") or []
    given = {(str(item["nodeId"]), str(item["fieldName"])): as_text(item.get("fieldValue")) for item in items}
    values = []
    for node in task.app.nodes:
        value = given.get((node["nodeId"], node["fieldName"]))
        values.append((node, node["fieldValue"] if value is None else value, value is not None))
    return values


def _parameter(task: Task, name: str) -> Node:
    """A parameter of a model as a field: a model has no form."""
    return {"nodeId": task.app.id, "fieldName": name, "fieldType": "STRING", "description": name}


def values_text(task: Task) -> str:
    """The app and its values, one a line."""
    lines = [f"{node['nodeId']}.{node['fieldName']} = {value}" for node, value, _ in chosen_values(task)]
    return "\n".join([f"RunningHub simulator: {task.app.name}", f"taskId {task.id}", *lines, ""])


def result_picture(task: Task, uploads: UploadStore) -> bytes:
    """A picture for people: the app, the uploaded picture, and every value; the given ones stand out."""
    title, rows = _wrapped(task.app.name, _font(32), _WIDTH - 2 * _MARGIN), _rows(task)
    text_height = 48 * len(title) + sum(_row_height(row) for row in rows)
    picture = Image.new("RGB", (_WIDTH, _ART_HEIGHT + text_height + 2 * _MARGIN), _PAPER)
    picture.paste(_landscape(_WIDTH, _ART_HEIGHT, _digest(values_text(task))))
    for upload in _uploaded_pictures(task, uploads):
        picture.paste(upload, ((_WIDTH - upload.width) // 2, (_ART_HEIGHT - upload.height) // 2))
    draw = ImageDraw.Draw(picture)
    draw.text(
        (_MARGIN, 12), "RunningHub simulator", fill="white", font=_font(22), stroke_width=1, stroke_fill=_INK
    )
    draw.multiline_text((_MARGIN, _ART_HEIGHT + _MARGIN // 2), "\n".join(title), fill=_INK, font=_font(32))
    y = _ART_HEIGHT + _MARGIN + 48 * len(title)
    for row in rows:
        draw.text((_MARGIN, y + 2), row.label, fill=_FAINT, font=_font(18))
        for number, line in enumerate(row.lines):
            draw.text((_VALUES_AT, y + _LINE_HEIGHT * number), line, fill=row.colour, font=_font(22))
        y += _row_height(row)
    return _png(picture)


@functools.lru_cache(maxsize=16)
def cover_picture(app: App) -> bytes:
    """The app's cover."""
    picture = _landscape(1280, 720, _digest(app.id))
    draw = ImageDraw.Draw(picture)
    draw.text((60, 540), app.name, fill="white", font=_font(60), stroke_width=2, stroke_fill=_INK)
    draw.text(
        (60, 630), "RunningHub simulator", fill="white", font=_font(28), stroke_width=1, stroke_fill=_INK
    )
    return _png(picture)


def tone(digest: bytes) -> bytes:
    """Two seconds of a chord whose pitch depends on the values."""
    rate, base = 22_050, 220 * 2 ** (digest[0] % 12 / 12)
    samples = (
        math.sin(2 * math.pi * base * n / rate) + math.sin(3 * math.pi * base * n / rate) / 2
        for n in range(2 * rate)
    )
    frames = b"".join(
        struct.pack("<h", int(12_000 * sample * _fade(n, rate))) for n, sample in enumerate(samples)
    )
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(frames)
    return buffer.getvalue()


def _fade(n: int, rate: int) -> float:
    return min(1.0, n / 1000, (2 * rate - n) / rate)


def _rows(task: Task) -> list[Row]:
    width = _WIDTH - _MARGIN - _VALUES_AT
    rows = [Row("taskId", [f"{task.id} · {task.seconds} s"], _INK)]
    for node, value, given in chosen_values(task):
        shown = value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}…"
        labels = _wrapped(
            f"{node['description']} · {node['nodeId']}.{node['fieldName']}", _font(18), _LABEL_WIDTH
        )
        lines = _wrapped(shown or "—", _font(22), width)
        rows.append(Row("\n".join(labels), lines, _ACCENT if given else _INK))
    if cjk_font_path() is None:
        rows.append(Row("", _wrapped(_NO_CJK_NOTE, _font(22), width), _INK))
    return rows


def _row_height(row: Row) -> int:
    return max(len(row.lines), row.label.count("\n") + 1) * _LINE_HEIGHT + 10


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """Lines that fit the width, broken after spaces where there are some."""
    lines = []
    for paragraph in text.splitlines():
        rest = paragraph
        while fitting := _fitting(rest, font, width):
            head, space, _ = rest[:fitting].rpartition(" ")
            lines.append(head if space else rest[:fitting])
            rest = rest[len(head) + 1 if space else fitting :]
        lines.append(rest)
    return lines


def _fitting(text: str, font: Font, width: int) -> int:
    """How many characters fit in a line, at least one; 0: all."""
    if font.getlength(text) <= width:
        return 0
    ends = range(len(text))
    return max(1, bisect.bisect(ends, float(width), key=lambda end: float(font.getlength(text[:end]))) - 1)


def _uploaded_pictures(task: Task, uploads: UploadStore) -> list[Image.Image]:
    """The pictures the run was given, framed and scaled to the art's height."""
    frames = []
    for node, value, _ in chosen_values(task):
        path = uploads.path(value) if node["fieldType"] == "IMAGE" else None
        if path is None:
            continue
        try:
            with Image.open(path) as upload:
                fitted = ImageOps.contain(upload.convert("RGB"), (_WIDTH - 240, _ART_HEIGHT - 120))
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
        frames.append(ImageOps.expand(fitted, border=10, fill="white"))
    return frames


def _landscape(width: int, height: int, digest: bytes) -> Image.Image:
    """Hills under a sky, coloured by the digest: other inputs give another picture."""
    shades = random.Random(digest)
    hue = shades.randrange(360)
    sky = Image.linear_gradient("L").resize((width, height))
    picture = ImageOps.colorize(sky, f"hsl({hue},55%,42%)", f"hsl({(hue + 40) % 360},85%,82%)")
    draw = ImageDraw.Draw(picture)
    sun = (shades.uniform(0.15, 0.85) * width, shades.uniform(0.2, 0.45) * height)
    draw.circle(sun, height * 0.11, fill=f"hsl({(hue + 45) % 360},95%,90%)")
    for layer in range(4):
        colour = f"hsl({(hue + 150 + 12 * layer) % 360},35%,{48 - 10 * layer}%)"
        draw.polygon(_hills(width, height, 0.5 + 0.12 * layer, shades), fill=colour)
    return picture


def _hills(width: int, height: int, level: float, shades: random.Random) -> list[tuple[float, float]]:
    waves = [
        (shades.uniform(1, 5) / width, shades.uniform(0, 6), shades.uniform(0.01, 0.05)) for _ in range(3)
    ]
    ridge = [
        (x, height * (level + sum(tall * math.sin(6.28 * often * x + shift) for often, shift, tall in waves)))
        for x in range(0, width + 8, 8)
    ]
    return [(0, height), *ridge, (width, height)]


@functools.cache
def cjk_font_path() -> str | None:
    """A font file with Chinese characters, or None."""
    for path in _CJK_FONTS:
        if Path(path).is_file():
            return path
    fc_list = shutil.which("fc-list")
    if fc_list is None:
        return None
    found = subprocess.run(  # noqa: S603 - a fixed command
        [fc_list, ":lang=zh-cn", "file"], capture_output=True, text=True, timeout=10, check=False
    )
    return next((line.rstrip(": ") for line in found.stdout.splitlines() if line.strip()), None)


@functools.cache
def _font(size: int) -> Font:
    path = cjk_font_path()
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)  # in half of the time, for a file a sixth larger
    return buffer.getvalue()
