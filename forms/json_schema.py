"""The JSON Schema of a form: one property for each field, with the saved value as its default."""

from collections.abc import Iterable
from typing import Any, Final

from forms.field_data import ACCEPT
from forms.types import Choice, FieldInput, NodeField, Value

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def form_schema(title: str, fields: list[NodeField]) -> dict[str, Any]:
    """The schema of all fields; where two entries have the same identity, the first one defines it."""
    properties: dict[str, Any] = {}
    for key, field in zip(field_keys(fields), fields, strict=True):
        if key not in properties:
            properties[key] = _property(field)
    return {
        "$schema": _DIALECT,
        "title": title,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def field_keys(fields: Iterable[NodeField]) -> list[str]:
    """The schema's property name of each field: `<nodeId>.<fieldName>`.

    Node `a` with field `b.c` and node `a.b` with field `c` would share one name: the later one ends in `#2`.
    """
    keys: dict[tuple[str, str], str] = {}
    used: set[str] = set()
    numbers: dict[str, int] = {}
    names: list[str] = []
    for field in fields:
        identity = (field["nodeId"], field["fieldName"])
        if identity not in keys:
            keys[identity] = _unused(".".join(identity), used, numbers)
            used.add(keys[identity])
        names.append(keys[identity])
    return names


def _unused(key: str, used: set[str], numbers: dict[str, int]) -> str:
    """The key, numbered where it is in use; counting resumes, since a form may be made of equal keys."""
    candidate = key
    while candidate in used:
        numbers[key] = numbers.get(key, 1) + 1
        candidate = f"{key}#{numbers[key]}"
    return candidate


def _property(field: NodeField) -> dict[str, Any]:
    """The schema of one field; its default is the saved value, so that an untouched field stays as saved.

    No `multipleOf`: 0.7000000000000001 is legal at RunningHub.
    """
    shown = field["input"]
    kind = shown["type"]
    annotations = {
        "description": shown["tooltip"],
        "minimum": shown["min"],
        "maximum": shown["max"],
        "format": "textarea" if kind == "textarea" else None,
        "contentMediaType": "application/zip" if kind == "file" else ACCEPT.get(kind),
        "default": _default(shown),
    }
    return {
        "type": kind if kind in {"integer", "number", "boolean"} else "string",
        "title": shown["label"],
        **_choices(shown["options"], field["fieldValue"]),
        **{name: value for name, value in annotations.items() if value is not None},
    }


def _choices(options: list[Choice] | None, saved: str) -> dict[str, Any]:
    if options is None:
        return {}
    titles = {option["value"]: option["label"] for option in options}
    if saved:
        titles.setdefault(saved, saved)  # the app's saved value stays usable when it is no longer offered
    if all(value == title for value, title in titles.items()):
        return {"enum": list(titles)}
    return {"oneOf": [{"const": value, "title": title} for value, title in titles.items()]}


def _default(shown: FieldInput) -> Value:
    """The saved value; None, so left out, where it is out of bounds and would fail its own schema."""
    value, low, high = shown["value"], shown["min"], shown["max"]
    if isinstance(value, str) or value is None:
        return value
    is_outside = (low is not None and value < low) or (high is not None and value > high)
    return None if is_outside else value
