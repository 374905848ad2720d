"""Reads RunningHub's `fieldData`: the choices and the settings of one field, in whatever shape they come."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from forms.types import Choice, InputType
from forms.values import first_text, is_scalar, is_true, objects, safe_number, text_of

# No real field comes near these sizes, and reading a hostile one would block the event loop.
MAX_FIELD_DATA_CHARS: Final = 65_536
MAX_CHOICES: Final = 1_000

CHOICE_TYPES: Final = {"LIST", "SWITCH", "COMBO", "SELECT"}
# The file types that an input of each media type accepts.
ACCEPT: Final[dict[InputType, str]] = {
    "image": "image/*",
    "audio": "audio/*",
    "video": "video/*",
    "file": ".zip",
}
_TYPES: Final[dict[str, InputType]] = {
    "INT": "integer",
    "INTEGER": "integer",
    "FLOAT": "number",
    "NUMBER": "number",
    "BOOLEAN": "boolean",
    "IMAGE": "image",
    "AUDIO": "audio",
    "VIDEO": "video",
    "ZIP": "file",
}
_STRING_TYPES: Final = {"STRING", "TEXT"}
_TYPE_TAGS: Final = {*_TYPES, *CHOICE_TYPES, *_STRING_TYPES, "CKPT", "LORA"}
_UPLOAD_FLAGS: Final[dict[str, InputType]] = {
    "image_upload": "image",
    "audio_upload": "audio",
    "video_upload": "video",
}
_VALUE_MEMBERS: Final = ("index", "value", "name")
_PLACEHOLDERS: Final = {"example.png", "keep_this_dic"}


class FieldData(NamedTuple):
    """What `fieldData` contains: the entries that may be choices, and the settings beside them."""

    entries: list[Any]
    settings: Mapping[str, Any]


EMPTY: Final = FieldData([], {})


class Limits(NamedTuple):
    """The bounds of a numeric field."""

    min: int | float | None
    max: int | float | None
    step: int | float | None


def read_field_data(raw: Any) -> FieldData | None:
    """Read one `fieldData`; None where it is malformed, oversized or of no known shape.

    It is ComfyUI's input spec (https://docs.comfy.org/custom-nodes/backend/datatypes), RunningHub's own list
    of choices, or what some client made of either.
    """
    parsed = _parse_json(raw) if isinstance(raw, str) else raw
    match parsed:
        case None:
            found = EMPTY
        case list() if len(parsed) > MAX_CHOICES:
            return None
        case dict():
            found = _with_options(parsed)
        case [list(entries), *rest]:
            found = FieldData(entries, rest[0] if rest and isinstance(rest[0], dict) else {})
        case [str(), dict(settings), *_]:
            found = _with_options(settings)
        case [dict(), *_] if all(isinstance(entry, dict) for entry in parsed):
            found = _entries_and_marker(parsed)
        case [str(tag), *_] if tag in _TYPE_TAGS:
            found = EMPTY
        case list() if all(is_scalar(entry) for entry in parsed):
            found = FieldData(parsed, {})
        case _:
            return None
    return found if len(found.entries) <= MAX_CHOICES else None


def _parse_json(text: str) -> Any:
    """The JSON value; None for blank text; malformed text is returned as is, and is no known shape."""
    if not text or text.isspace():
        return None
    try:
        return json.loads(text) if len(text) <= MAX_FIELD_DATA_CHARS else text
    except (ValueError, RecursionError):
        return text


def _with_options(settings: dict[str, Any]) -> FieldData:
    options = settings.get("options")
    return FieldData(options if isinstance(options, list) else [], settings)


def _entries_and_marker(parsed: list[dict[str, Any]]) -> FieldData:
    """Entries without a value are not choices: they carry the default and other settings."""
    entries = [entry for entry in parsed if any(member in entry for member in _VALUE_MEMBERS)]
    markers = (entry for entry in parsed if not any(member in entry for member in _VALUE_MEMBERS))
    return FieldData(entries, {name: value for marker in markers for name, value in marker.items()})


def read_choices(entries: list[Any]) -> list[Choice]:
    """The choices in RunningHub's order, each value once, without the placeholders of file lists."""
    found: dict[str, Choice] = {}
    for choice in map(_choice, entries):
        if choice and choice["value"] not in _PLACEHOLDERS:
            found.setdefault(choice["value"], choice)
    return list(found.values())


def _choice(entry: Any) -> Choice | None:
    if is_scalar(entry):
        text = text_of(entry)
        return {"value": text, "label": text, "labelEn": None}
    if not isinstance(entry, dict):
        return None
    value = first_text(*(entry.get(member) for member in _VALUE_MEMBERS))
    if not value:
        return None
    return {
        "value": value,
        "label": first_text(entry.get("description"), entry.get("name"), entry.get("label"), value),
        "labelEn": first_text(entry.get("descriptionEn")) or None,
    }


def default_choice(default: Any, choices: list[Choice], entries: list[Any]) -> str | None:
    """The value of the choice that a default names, by its value or otherwise by its name."""
    if not is_scalar(default):
        return None
    wanted = text_of(default)
    values = {choice["value"] for choice in choices}
    if wanted in values:
        return wanted
    named = (_choice(entry) for entry in objects(entries) if text_of(entry.get("name")) == wanted)
    return next((choice["value"] for choice in named if choice and choice["value"] in values), None)


def read_limits(settings: Mapping[str, Any]) -> Limits:
    """The bounds; those that exclude every value, or that JavaScript cannot represent, are dropped."""
    low, high, step = (safe_number(settings.get(name)) for name in ("min", "max", "step"))
    if low is not None and high is not None and low > high:
        low = high = None
    return Limits(low, high, step if step and step > 0 else None)


def input_type(field_type: str, field_data: FieldData | None, choices: list[Choice]) -> InputType:
    """The type of the input, by RunningHub's `fieldType` in upper case and what `fieldData` contains."""
    named = _TYPES.get(field_type, "text")
    if named in ACCEPT:
        return named
    if field_data is None:
        return "text"  # nothing is known about the values, so an input that rejects none, for INT as well
    settings = field_data.settings
    for flag, media in _UPLOAD_FLAGS.items():
        if is_true(settings.get(flag)):
            return media
    if field_type in CHOICE_TYPES and choices:
        return "select"
    if field_type in _STRING_TYPES and is_true(settings.get("multiline")):
        return "textarea"
    return named
