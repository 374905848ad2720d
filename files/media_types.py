"""What kind of file a result is: its media type, what a browser may show of it, and its name for people."""

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

UNKNOWN = "application/octet-stream"
# By RunningHub's `fileType`, which is the file's extension.
MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "avif": "image/avif",
    "heic": "image/heic",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "svg": "image/svg+xml",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "html": "text/html",
    "json": "application/json",
    "pdf": "application/pdf",
    "zip": "application/zip",
    "glb": "model/gltf-binary",
    "gltf": "model/gltf+json",
    "obj": "model/obj",
    "stl": "model/stl",
}
# A page or a drawing that contains scripts must not run at this service's address.
SHOWN_KINDS = frozenset({"image", "audio", "video"})
SHOWN_TYPES = frozenset({"application/json", "text/plain"})
NOT_SHOWN = frozenset({"image/svg+xml"})
TEXT_TYPES = frozenset({"text/plain", "text/markdown", "text/csv", "text/vtt", "application/json"})
MAX_NAME_CHARS = 80

_EXTENSION = re.compile(r"[a-z0-9]{1,10}", re.ASCII)
_UNSAFE = re.compile(r"[^\w.() -]+")


def extension_of(file_type: str | None, url: str | None = None) -> str | None:
    """In small letters; from the address where RunningHub gives no type."""
    for text in (file_type, PurePosixPath(_path(url)).suffix):
        extension = (text or "").lower().strip(" .")
        if _EXTENSION.fullmatch(extension):
            return extension
    return None


def media_type_of(file_type: str | None, url: str | None = None) -> str:
    return MEDIA_TYPES.get(extension_of(file_type, url) or "", UNKNOWN)


def is_shown_inline(media_type: str) -> bool:
    """Whether a browser may show it; everything else is downloaded."""
    is_shown = media_type.partition("/")[0] in SHOWN_KINDS or media_type in SHOWN_TYPES
    return is_shown and media_type not in NOT_SHOWN


def is_text(media_type: str) -> bool:
    return media_type in TEXT_TYPES


def file_name(n: int, file_type: str | None, url: str | None) -> str:
    """RunningHub's own name without what it appends for itself, or the result's number."""
    extension = extension_of(file_type, url)
    stem = _UNSAFE.sub("_", PurePosixPath(_path(url)).stem).strip("._ ")[:MAX_NAME_CHARS]
    return (stem or f"result-{n + 1}") + (f".{extension}" if extension else "")


def _path(url: str | None) -> str:
    try:
        return unquote(urlsplit(url or "").path)
    except ValueError:
        return ""
