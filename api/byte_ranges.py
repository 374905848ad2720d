"""Conditional and range requests for one file (RFC 9110, sections 13 and 14)."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `start` up to, not including, `stop` of a file of `size` bytes."""

    start: int
    stop: int
    size: int

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


class Unsatisfiable(Exception):
    """The range lies outside the file."""


def single_range(header: str | None) -> str | None:
    """A `Range` header that asks for one range of bytes; all others may be ignored, and are."""
    found = _RANGE.fullmatch(header or "")
    return header if found and (found[1] or found[2]) else None


def requested_range(header: str | None, size: int) -> ByteRange | None:
    """None: the whole file. Raises Unsatisfiable."""
    found = _RANGE.fullmatch(single_range(header) or "")
    if found is None:
        return None
    first, last = found[1], found[2]
    if first and last and int(last) < int(first):
        return None  # not a range at all, as opposed to one outside the file
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        raise Unsatisfiable
    return ByteRange(start, stop, size)


def matches(header: str | None, etag: str) -> bool:
    """Whether an `If-None-Match` names the version that `etag` does."""
    if header is None:
        return False
    return header.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in header.split(",")}


def applies(if_range: str | None, etag: str | None) -> bool:
    """Whether a range may be sent: without the condition, or where the version is the one that it names."""
    return if_range is None or (etag is not None and if_range.strip() == etag)
