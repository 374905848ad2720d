"""Conversion of values: any JSON value to text, number or flag, and a value to the type of an input."""

import json
import math
import re
from typing import Any, Final

from forms.types import InputType, Value

MAX_NUMBER_CHARS: Final = 300
# JavaScript's Number.MAX_SAFE_INTEGER: beyond it, two neighbouring integers read as the same number.
MAX_SAFE_INTEGER: Final = 2**53 - 1

# Quotes, commas and colons around one entry of a list or an object.
_ENTRY_CHARS: Final = 4
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_COMPACT_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def sent_value(value: Any) -> str:
    """A value as the `fieldValue` that RunningHub requires, always a string.

    `8` becomes `"8"`, `true` becomes `"true"`, `null` becomes `""`, a list or an object becomes its JSON.
    """
    if isinstance(value, str):
        # Half of a surrogate pair is legal in JSON and cannot be written as UTF-8.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_SAFE_INTEGER:
        value = int(value)  # JSON does not distinguish 2.0 from 2, and RunningHub's lists contain "2"
    try:
        return sent_value(_COMPACT_JSON.encode(value))
    except (ValueError, RecursionError):
        return ""


def read_number(value: Any) -> int | float | None:
    """The finite number that a JSON value or its text holds, whole numbers as exact `int`; otherwise None."""
    if isinstance(value, str):
        if len(value) > MAX_NUMBER_CHARS or not _NUMBER.fullmatch(value):
            return None
        value = int(value) if value.lstrip("+-").isdigit() else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() else value


def safe_number(value: Any) -> int | float | None:
    """A number that JavaScript represents exactly; otherwise None."""
    number = read_number(value)
    return number if number is not None and abs(number) <= MAX_SAFE_INTEGER else None


def whole_number(value: Any) -> int | None:
    """A whole number that JavaScript represents exactly; otherwise None."""
    number = safe_number(value)
    return number if isinstance(number, int) else None


def typed_value(kind: InputType, value: Any) -> Value:
    """A value in the type of its input; None where it is not a value of that type."""
    if kind == "integer":
        return whole_number(value)
    if kind == "number":
        return safe_number(value)
    if kind == "boolean":
        return {"true": True, "false": False}.get(text_of(value).lower())
    return text_of(value)


def text_of(value: Any) -> str:
    """The text of a string, a number or a boolean; empty for null, lists and objects."""
    return sent_value(value) if is_scalar(value) else ""


def optional_text(value: Any) -> str | None:
    """Like `text_of`, but None for null, lists and objects."""
    return sent_value(value) if is_scalar(value) else None


def first_text(*values: Any) -> str:
    """The first text that is not blank; empty where all are."""
    for value in values:
        if (text := text_of(value)) and not text.isspace():
            return text
    return ""


def is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def is_true(value: Any) -> bool:
    return text_of(value).lower() == "true"


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; empty for everything that is not a list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def json_size(value: Any, limit: int) -> int:
    """Roughly the number of characters of a value as JSON; counting stops above `limit`."""
    size, pending = 0, [value]
    while pending and size <= limit:
        entry = pending.pop()
        size += _ENTRY_CHARS + (len(entry) if isinstance(entry, str) else 0)
        if isinstance(entry, list | dict):
            # No entry takes fewer characters, so what is over the limit already is not looked into.
            size_at_least = size + _ENTRY_CHARS * len(entry)
            if size_at_least > limit:
                return size_at_least
            pending.extend(entry if isinstance(entry, list) else (*entry, *entry.values()))
    return size
