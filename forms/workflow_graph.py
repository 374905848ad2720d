"""Reads a workflow's graph (ComfyUI's API format) into the same entries as an app's `nodeInfoList` has."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from forms.values import first_text, text_of

# No real graph comes near this size, and reading a hostile one would block the event loop.
MAX_GRAPH_CHARS: Final = 1_000_000
LONG_TEXT_CHARS: Final = 80

_MEDIA: Final = ("video", "audio", "image")
_FILE_FIELDS: Final = {*_MEDIA, "file", "upload"}
_PROMPT_WORDS: Final = {"text", "positive", "negative", "caption", "instruction", "instructions"}
_MULTILINE: Final = ["STRING", {"multiline": True}]


def graph_nodes(prompt_graph: Any) -> Iterator[dict[str, Any]]:
    """Every input that is a plain value, in the graph's order; none where the graph cannot be read.

    The graph is `{"<node id>": {"class_type", "inputs", "_meta": {"title"}}}`, as an object or as its JSON.
    """
    graph = _parse_json(prompt_graph) if isinstance(prompt_graph, str) else prompt_graph
    for node_id, node in graph.items() if isinstance(graph, dict) else ():
        if isinstance(node, dict):
            yield from _node_entries(node_id, node)


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text) if len(text) <= MAX_GRAPH_CHARS else None
    except (ValueError, RecursionError):
        return None


def _node_entries(node_id: Any, node: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    inputs, meta = node.get("inputs"), node.get("_meta")
    class_type = text_of(node.get("class_type"))
    title = first_text(meta.get("title")) if isinstance(meta, dict) else ""
    for field_name, value in inputs.items() if isinstance(inputs, dict) else ():
        if _is_link(value):
            continue
        yield {
            "nodeId": node_id,
            "nodeName": class_type,
            "fieldName": field_name,
            "description": title or None,
            # All inputs of a node share its title.
            "label": f"{title}: {field_name}" if title else field_name,
            **_described_value(class_type, field_name, _unwrapped(value)),
        }


def _is_link(value: Any) -> bool:
    """Whether the value comes from another node: `[node id, index of its output]`, as ComfyUI decides it."""
    match value:
        case [str() | int(), int() | float()]:
            return not any(isinstance(part, bool) for part in value)
    return False


def _unwrapped(value: Any) -> Any:
    """A list that is a value is wrapped, so that it is not read as a link."""
    match value:
        case {"__value__": wrapped} if len(value) == 1:
            return wrapped
    return value


def _described_value(class_type: str, field_name: str, value: Any) -> dict[str, Any]:
    """The value with the `fieldType` and the `fieldData` that an app would give for it."""
    if isinstance(value, bool):
        return {"fieldType": "BOOLEAN", "fieldValue": value}
    if isinstance(value, int):
        return {"fieldType": "INT", "fieldValue": value}
    if isinstance(value, float):
        return {"fieldType": "FLOAT", "fieldValue": value}
    if not isinstance(value, str):
        return {"fieldType": "STRING", "fieldValue": value}
    if media := _media_type(class_type.lower(), field_name.lower(), value):
        return {"fieldType": media.upper(), "fieldValue": value}
    is_multiline = "\n" in value or len(value) > LONG_TEXT_CHARS or _is_prompt_name(field_name)
    return {"fieldType": "STRING", "fieldValue": value, "fieldData": _MULTILINE if is_multiline else None}


def _media_type(class_name: str, field_name: str, value: str) -> str | None:
    """The type of file that a node such as LoadImage or VHS_LoadVideo loads; None for any other field."""
    named = [media for media in _MEDIA if media in class_name]
    if not named or field_name not in _FILE_FIELDS or value in _MEDIA:
        return None  # one of these words as the value is the label of an upload button
    return field_name if field_name in _MEDIA else named[0]


def _is_prompt_name(field_name: str) -> bool:
    words = re.split(r"[^a-z]+", field_name.lower())
    return "prompt" in field_name.lower() or not _PROMPT_WORDS.isdisjoint(words)
