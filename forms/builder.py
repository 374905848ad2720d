"""The secondary processing: RunningHub's description of an app, worked up to a form and its JSON Schema."""

import html
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

import nh3
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

InputType = Literal[
    "text", "textarea", "integer", "number", "boolean", "select", "image", "audio", "video", "file"
]

# No real value comes near these sizes, and a made-up one past them could cost the event loop time.
MAX_FIELD_DATA: Final = 65_536
MAX_CHOICES: Final = 1_000
MAX_HTML: Final = 20_000
MAX_NUMBER: Final = 300
# JavaScript's Number.MAX_SAFE_INTEGER: past it two neighbours read as the same number.
MAX_SAFE_INTEGER: Final = 2**53 - 1

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
_CHOICE_TYPES: Final = {"LIST", "SWITCH", "COMBO", "SELECT"}
_STRING_TYPES: Final = {"STRING", "TEXT"}
_TAGS: Final = {*_TYPES, *_CHOICE_TYPES, *_STRING_TYPES, "CKPT", "LORA"}
_UPLOAD_FLAGS: Final[dict[str, InputType]] = {
    "image_upload": "image",
    "audio_upload": "audio",
    "video_upload": "video",
}
_VALUE_MEMBERS: Final = ("index", "value", "name")
_PLACEHOLDERS: Final = {"example.png", "keep_this_dic"}
_STATISTICS: Final = ("likeCount", "downloadCount", "useCount", "pv", "collectCount")
_LINE_TAGS: Final = {
    *("br", "hr", "p", "div", "section", "blockquote", "pre", "ul", "ol", "li", "dt", "dd"),
    *("table", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6"),
}
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_COMPACT_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Choice(TypedDict):
    """One option of a select; `value` is what goes back as `fieldValue`."""

    value: str
    label: str
    labelEn: str | None


class FieldInput(TypedDict):
    """How a page draws one field, without knowing RunningHub."""

    type: InputType
    label: str
    labelEn: str
    tooltip: str | None
    default: str | int | float | bool | None
    options: list[Choice] | None
    min: int | float | None
    max: int | float | None
    step: int | float | None
    accept: str | None


class NodeField(TypedDict):
    """One entry of RunningHub's `nodeInfoList`, with `input` in place of `fieldData`."""

    nodeId: str
    nodeName: str
    fieldName: str
    fieldType: str
    fieldValue: str
    description: str | None
    descriptionCn: str | None
    descriptionEn: str | None
    input: FieldInput


class Cover(TypedDict):
    """A picture or film that shows the app; a film has no width and height."""

    id: str
    url: str
    thumbnailUri: str
    imageWidth: int | None
    imageHeight: int | None


class Tag(TypedDict):
    """A keyword of the app."""

    id: str
    name: str
    nameEn: str


class WebappForm(TypedDict):
    """The whole answer of `/get_node_info`."""

    webappId: str
    webappName: str
    description: str
    descriptionEn: str
    covers: list[Cover]
    tags: list[Tag]
    accessEncrypted: bool
    statisticsInfo: dict[str, int]
    nodeInfoList: list[NodeField]
    schema: dict[str, Any]


class _FieldData(NamedTuple):
    """What `fieldData` says: the entries that may be choices, and the settings beside them."""

    entries: list[Any]
    settings: Mapping[str, Any]


_NOTHING_SAID: Final = _FieldData([], {})


def webapp_form(webapp_id: str, data: Mapping[str, Any]) -> WebappForm:
    """The form of an app from the `data` of RunningHub's apiCallDemo, whatever is missing or broken in it.

    Members are picked by name: what is not named here, such as `curl` with its API key, goes no further.
    """
    name = _text(data.get("webappName"))
    description = _plain_text(data.get("description"))
    description_en = _plain_text(data.get("descriptionEn"))
    statistics = data.get("statisticsInfo")
    counts = statistics if isinstance(statistics, dict) else {}
    fields = [
        _node_field(node)
        for node in _dicts(data.get("nodeInfoList"))
        if _text(node.get("nodeId")) and _text(node.get("fieldName"))
    ]
    return {
        "webappId": webapp_id,
        "webappName": name,
        "description": description or description_en,
        "descriptionEn": description_en or description,
        "covers": [_cover(cover) for cover in _dicts(data.get("covers"))],
        "tags": [_tag(tag) for tag in _dicts(data.get("tags"))],
        "accessEncrypted": _is_true(data.get("accessEncrypted")),
        "statisticsInfo": {member: _integer(counts.get(member)) or 0 for member in _STATISTICS},
        "nodeInfoList": fields,
        "schema": _schema(name, fields),
    }


def sent_value(value: Any) -> str:
    """A value as `fieldValue` goes up, always a string: `8` as `"8"`, `true` as `"true"`, `null` as `""`."""
    if isinstance(value, str):
        # Half of a surrogate pair is legal in JSON and cannot be written as UTF-8.
        return value.encode("utf-8", "replace").decode()
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_SAFE_INTEGER:
        value = int(value)  # JSON knows no difference between 2.0 and 2, and RunningHub's lists hold "2"
    try:
        return sent_value(_COMPACT_JSON.encode(value))
    except (ValueError, RecursionError):
        return ""


def read_number(value: Any) -> int | float | None:
    """The finite number that a JSON value or its text holds, whole numbers as exact `int`; else None."""
    if isinstance(value, str):
        if len(value) > MAX_NUMBER or not _NUMBER.fullmatch(value):
            return None
        value = int(value) if value.lstrip("+-").isdigit() else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() else value


def field_keys(fields: Iterable[NodeField]) -> list[str]:
    """The schema's property name of each field: `<nodeId>.<fieldName>`.

    Node `a` with field `b.c` and node `a.b` with field `c` read the same: the later one gets `#2` at its end.
    """
    keys: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    names: list[str] = []
    for field in fields:
        identity = (field["nodeId"], field["fieldName"])
        if identity not in keys:
            keys[identity] = _unused(".".join(identity), taken)
            taken.add(keys[identity])
        names.append(keys[identity])
    return names


def _unused(key: str, taken: set[str]) -> str:
    candidate, number = key, 1
    while candidate in taken:
        number += 1
        candidate = f"{key}#{number}"
    return candidate


def _node_field(node: Mapping[str, Any]) -> NodeField:
    return {
        "nodeId": _text(node.get("nodeId")),
        "nodeName": _text(node.get("nodeName")),
        "fieldName": _text(node.get("fieldName")),
        "fieldType": _text(node.get("fieldType")),
        "fieldValue": sent_value(node.get("fieldValue")),
        "description": _optional_text(node.get("description")),
        "descriptionCn": _optional_text(node.get("descriptionCn")),
        "descriptionEn": _optional_text(node.get("descriptionEn")),
        "input": _field_input(node),
    }


def _field_input(node: Mapping[str, Any]) -> FieldInput:
    field_data = _read_field_data(node.get("fieldData"))
    entries, settings = field_data or _NOTHING_SAID
    choices = _choices(entries)
    kind = _input_type(_text(node.get("fieldType")).upper(), field_data, choices)
    low, high, step = _limits(settings) if kind in {"integer", "number"} else (None, None, None)
    own, chinese, english = (node.get(name) for name in ("description", "descriptionCn", "descriptionEn"))
    return {
        "type": kind,
        "label": _first_text(own, chinese, english, node.get("fieldName")),
        "labelEn": _first_text(english, own, chinese, node.get("fieldName")),
        "tooltip": _first_text(settings.get("tooltip")) or None,
        "default": (
            _default_choice(settings.get("default"), choices, entries)
            if kind == "select"
            else _typed(kind, settings.get("default"))
        ),
        "options": choices if kind == "select" else None,
        "min": low,
        "max": high,
        "step": step,
        "accept": ACCEPT.get(kind),
    }


def _read_field_data(raw: Any) -> _FieldData | None:
    """Read one `fieldData`; None when it is broken, oversized or of no known shape.

    It is ComfyUI's input spec (https://docs.comfy.org/custom-nodes/backend/datatypes), RunningHub's own list
    of choices or what a client made of either.
    """
    parsed = _parse_json(raw) if isinstance(raw, str) else raw
    match parsed:
        case None:
            found = _NOTHING_SAID
        case list() if len(parsed) > MAX_CHOICES:
            return None
        case dict():
            found = _with_options(parsed)
        case [list(entries), *rest]:
            found = _FieldData(entries, rest[0] if rest and isinstance(rest[0], dict) else {})
        case [str(), dict(settings), *_]:
            found = _with_options(settings)
        case [dict(), *_] if all(isinstance(entry, dict) for entry in parsed):
            found = _entries_and_marker(parsed)
        case [str(tag), *_] if tag in _TAGS:
            found = _NOTHING_SAID
        case list() if all(_is_scalar(entry) for entry in parsed):
            found = _FieldData(parsed, {})
        case _:
            return None
    return found if len(found.entries) <= MAX_CHOICES else None


def _parse_json(text: str) -> Any:
    """The JSON value; None for blank text, and the text itself, which is no known shape, if it is broken."""
    if not text.strip():
        return None
    try:
        return json.loads(text) if len(text) <= MAX_FIELD_DATA else text
    except (ValueError, RecursionError):
        return text


def _with_options(settings: dict[str, Any]) -> _FieldData:
    options = settings.get("options")
    return _FieldData(options if isinstance(options, list) else [], settings)


def _entries_and_marker(parsed: list[dict[str, Any]]) -> _FieldData:
    """Entries that name nothing are no choices: they carry the default and other settings."""
    entries = [entry for entry in parsed if any(member in entry for member in _VALUE_MEMBERS)]
    markers = (entry for entry in parsed if not any(member in entry for member in _VALUE_MEMBERS))
    return _FieldData(entries, {name: value for marker in markers for name, value in marker.items()})


def _input_type(field_type: str, field_data: _FieldData | None, choices: list[Choice]) -> InputType:
    named = _TYPES.get(field_type, "text")
    if named in ACCEPT:
        return named
    if field_data is None:
        return "text"  # nothing is known about the values, so an input that refuses none, for INT as well
    settings = field_data.settings
    for flag, media in _UPLOAD_FLAGS.items():
        if _is_true(settings.get(flag)):
            return media
    if field_type in _CHOICE_TYPES and choices:
        return "select"
    if field_type in _STRING_TYPES and _is_true(settings.get("multiline")):
        return "textarea"
    return named


def _choices(entries: list[Any]) -> list[Choice]:
    found: dict[str, Choice] = {}
    for choice in map(_choice, entries):
        if choice and choice["value"] not in _PLACEHOLDERS:
            found.setdefault(choice["value"], choice)
    return list(found.values())


def _choice(entry: Any) -> Choice | None:
    if _is_scalar(entry):
        text = _text(entry)
        return {"value": text, "label": text, "labelEn": None}
    if not isinstance(entry, dict):
        return None
    value = _first_text(*(entry.get(member) for member in _VALUE_MEMBERS))
    if not value:
        return None
    return {
        "value": value,
        "label": _first_text(entry.get("description"), entry.get("name"), entry.get("label"), value),
        "labelEn": _first_text(entry.get("descriptionEn")) or None,
    }


def _default_choice(default: Any, choices: list[Choice], entries: list[Any]) -> str | None:
    """The value of the choice that the default means, by its value or else by its name."""
    if not _is_scalar(default):
        return None
    wanted = _text(default)
    values = {choice["value"] for choice in choices}
    if wanted in values:
        return wanted
    named = (_choice(entry) for entry in _dicts(entries) if _text(entry.get("name")) == wanted)
    return next((choice["value"] for choice in named if choice and choice["value"] in values), None)


def _limits(
    settings: Mapping[str, Any],
) -> tuple[int | float | None, int | float | None, int | float | None]:
    low, high, step = (_safe_number(settings.get(name)) for name in ("min", "max", "step"))
    if low is not None and high is not None and low > high:
        low = high = None
    return low, high, step if step and step > 0 else None


def _typed(kind: InputType, value: Any) -> str | int | float | bool | None:
    """A default as the input holds it; None where it holds none."""
    if kind == "integer":
        return _integer(value)
    if kind == "number":
        return _safe_number(value)
    if kind == "boolean":
        return {"true": True, "false": False}.get(_text(value).lower())
    return None if kind in ACCEPT else _text(value)


def _schema(title: str, fields: list[NodeField]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for key, field in zip(field_keys(fields), fields, strict=True):
        properties.setdefault(key, _property(field))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _property(field: NodeField) -> dict[str, Any]:
    """One field for a schema-driven form; its default is the app's saved value, so untouched means as saved.

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
    }
    return {
        "type": kind if kind in {"integer", "number", "boolean"} else "string",
        "title": shown["label"],
        **{name: value for name, value in annotations.items() if value is not None},
        **_schema_choices(shown["options"], field["fieldValue"]),
        **_schema_default(shown, field["fieldValue"]),
    }


def _schema_choices(options: list[Choice] | None, saved: str) -> dict[str, Any]:
    if options is None:
        return {}
    titles = {option["value"]: option["label"] for option in options}
    if saved:
        titles.setdefault(saved, saved)  # the author's value stays usable where the list has moved on
    if all(value == title for value, title in titles.items()):
        return {"enum": list(titles)}
    return {"oneOf": [{"const": value, "title": title} for value, title in titles.items()]}


def _schema_default(shown: FieldInput, saved: str) -> dict[str, Any]:
    """Left out where it would not pass its own schema: a field that is left out keeps the saved value."""
    if shown["type"] == "select":
        is_offered = bool(saved) or any(not option["value"] for option in shown["options"] or [])
        return {"default": saved} if is_offered else {}
    default = saved if shown["type"] in ACCEPT else _typed(shown["type"], saved)
    return {} if default is None or _is_outside(default, shown) else {"default": default}


def _is_outside(default: str | int | float | bool, shown: FieldInput) -> bool:
    if isinstance(default, str):
        return False
    low, high = shown["min"], shown["max"]
    return (low is not None and default < low) or (high is not None and default > high)


def _cover(cover: Mapping[str, Any]) -> Cover:
    return {
        "id": _text(cover.get("id")),
        "url": _text(cover.get("url")),
        "thumbnailUri": _text(cover.get("thumbnailUri")),
        "imageWidth": _integer(cover.get("imageWidth")),
        "imageHeight": _integer(cover.get("imageHeight")),
    }


def _tag(tag: Mapping[str, Any]) -> Tag:
    return {
        "id": _text(tag.get("id")),
        "name": _first_text(tag.get("name"), tag.get("nameEn")),
        "nameEn": _first_text(tag.get("nameEn"), tag.get("name")),
    }


def _plain_text(markup: Any) -> str:
    """The text of a piece of HTML, a line for a paragraph."""
    clean = nh3.clean(_text(markup)[:MAX_HTML], tags=_LINE_TAGS, attributes={})
    broken = re.sub(r"(?:<(?!br>)[^>]*>\s*)+", "\n", clean).replace("<br>", "\n")
    lines = (" ".join(line.split()) for line in html.unescape(broken).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _is_true(value: Any) -> bool:
    return _text(value).lower() == "true"


def _text(value: Any) -> str:
    """A scalar's text; empty for null, lists and objects."""
    return sent_value(value) if _is_scalar(value) else ""


def _optional_text(value: Any) -> str | None:
    return _text(value) if _is_scalar(value) else None


def _first_text(*values: Any) -> str:
    return next((text for text in map(_text, values) if text.strip()), "")


def _safe_number(value: Any) -> int | float | None:
    number = read_number(value)
    return number if number is not None and abs(number) <= MAX_SAFE_INTEGER else None


def _integer(value: Any) -> int | None:
    number = _safe_number(value)
    return number if isinstance(number, int) else None
