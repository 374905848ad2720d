"""Builds the form of an app or of a workflow from RunningHub's description of it."""

import html
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

import nh3

from forms.field_data import (
    ACCEPT,
    CHOICE_TYPES,
    EMPTY,
    FieldData,
    Limits,
    default_choice,
    input_type,
    read_choices,
    read_field_data,
    read_limits,
)
from forms.json_schema import form_schema
from forms.types import Cover, FieldInput, FormMembers, NodeField, Tag, Value, WebappForm, WorkflowForm
from forms.values import (
    first_text,
    is_true,
    json_size,
    objects,
    optional_text,
    sent_value,
    text_of,
    typed_value,
    whole_number,
)
from forms.workflow_graph import graph_nodes

# Bounds on the whole form, so that building and sending it never blocks the event loop for long. A field
# that does not fit is left out, which keeps its saved value; one whose `fieldData` does not fit is `text`.
MAX_FIELDS: Final = 1_000  # as many as one submit accepts
MAX_FORM_CHARS: Final = 250_000
MAX_FORM_FIELD_DATA_CHARS: Final = 400_000
MAX_FORM_CHOICES: Final = 10_000
MAX_COVERS: Final = 20
MAX_TAGS: Final = 50
MAX_NAME_CHARS: Final = 1_000
MAX_URL_CHARS: Final = 4_000
MAX_HTML_CHARS: Final = 10_000

_STATISTICS: Final = ("likeCount", "downloadCount", "useCount", "pv", "collectCount")
_NODE_MEMBERS: Final = (
    *("nodeId", "nodeName", "fieldName", "fieldType", "fieldValue"),
    *("description", "descriptionCn", "descriptionEn"),
)
# An app's nodes have no `label`: `graph_nodes` adds it.
_LABEL_MEMBERS: Final = ("label", "description", "descriptionCn", "descriptionEn", "fieldName")
_LINE_TAGS: Final = {
    *("br", "hr", "p", "div", "section", "blockquote", "pre", "ul", "ol", "li", "dt", "dd"),
    *("table", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6"),
}


def webapp_form(webapp_id: str, data: Mapping[str, Any]) -> WebappForm:
    """The form of an app from the `data` of RunningHub's apiCallDemo, whatever is missing or malformed in it.

    Members are picked by name: what is not named here, such as `curl` with its API key, is never passed on.
    """
    picked = (*_NODE_MEMBERS, "fieldData")
    nodes = ({member: node.get(member) for member in picked} for node in objects(data.get("nodeInfoList")))
    return {"webappId": webapp_id, **_form_members(data, nodes)}


def workflow_form(workflow_id: str, prompt_graph: Any) -> WorkflowForm:
    """The form of a plain workflow from `data.prompt` of RunningHub's getJsonApiFormat.

    The graph is a JSON string or an object; what cannot be read in it has no field.
    """
    return {"workflowId": workflow_id, **_form_members({}, graph_nodes(prompt_graph))}


def _form_members(data: Mapping[str, Any], nodes: Iterable[Mapping[str, Any]]) -> FormMembers:
    name = text_of(data.get("webappName"))[:MAX_NAME_CHARS]
    description = plain_text(data.get("description"))
    description_en = plain_text(data.get("descriptionEn"))
    statistics = data.get("statisticsInfo")
    counts = statistics if isinstance(statistics, dict) else {}
    identified = (node for node in nodes if text_of(node.get("nodeId")) and text_of(node.get("fieldName")))
    considered = list(islice(identified, MAX_FIELDS + 1))
    fields = _node_fields(_within_bounds(considered[:MAX_FIELDS]))
    members: FormMembers = {
        "webappName": name,
        "description": description or description_en,
        "descriptionEn": description_en or description,
        "covers": [_cover(cover) for cover in objects(data.get("covers"))[:MAX_COVERS]],
        "tags": [_tag(tag) for tag in objects(data.get("tags"))[:MAX_TAGS]],
        "accessEncrypted": is_true(data.get("accessEncrypted")),
        "statisticsInfo": {member: whole_number(counts.get(member)) or 0 for member in _STATISTICS},
        "nodeInfoList": fields,
        "schema": form_schema(name, fields),
    }
    if len(fields) < len(considered):
        members["truncated"] = True
    return members


def _within_bounds(nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The nodes that fit into one form, without their `fieldData` where that does not fit."""
    kept: list[Mapping[str, Any]] = []
    chars_left, data_left = MAX_FORM_CHARS, MAX_FORM_FIELD_DATA_CHARS
    for node in nodes:
        chars = json_size([node.get(member) for member in _NODE_MEMBERS], chars_left)
        data_chars = json_size(node.get("fieldData"), data_left)
        if chars <= chars_left:
            kept.append(node if data_chars <= data_left else {**node, "fieldData": None})
            chars_left -= chars
        data_left = max(0, data_left - data_chars)
    return kept


def _node_fields(nodes: Iterable[Mapping[str, Any]]) -> list[NodeField]:
    fields: list[NodeField] = []
    choices_left = MAX_FORM_CHOICES
    for node in nodes:
        field_data = read_field_data(node.get("fieldData"))
        if field_data and len(field_data.entries) > choices_left:
            field_data = field_data._replace(entries=[])
        fields.append(_node_field(node, field_data))
        choices_left -= len(field_data.entries) if field_data else 0
    return fields


def _node_field(node: Mapping[str, Any], field_data: FieldData | None) -> NodeField:
    saved = sent_value(node.get("fieldValue"))
    return {
        "nodeId": text_of(node.get("nodeId")),
        "nodeName": text_of(node.get("nodeName")),
        "fieldName": text_of(node.get("fieldName")),
        "fieldType": text_of(node.get("fieldType")),
        "fieldValue": saved,
        "description": optional_text(node.get("description")),
        "descriptionCn": optional_text(node.get("descriptionCn")),
        "descriptionEn": optional_text(node.get("descriptionEn")),
        "input": _field_input(node, saved, field_data),
    }


def _field_input(node: Mapping[str, Any], saved: str, field_data: FieldData | None) -> FieldInput:
    entries, settings = field_data or EMPTY
    field_type = text_of(node.get("fieldType")).upper()
    choices = read_choices(entries) if field_type in CHOICE_TYPES else []
    kind = input_type(field_type, field_data, choices)
    limits = read_limits(settings) if kind in {"integer", "number"} else Limits(None, None, None)
    label, own, chinese, english, name = (node.get(member) for member in _LABEL_MEMBERS)
    default: Value
    if kind == "select":
        default = default_choice(settings.get("default"), choices, entries)
    else:
        default = None if kind in ACCEPT else typed_value(kind, settings.get("default"))
    return {
        "type": kind,
        "label": first_text(label, own, chinese, english, name),
        "labelEn": first_text(label, english, own, chinese, name),
        "tooltip": first_text(settings.get("tooltip")) or None,
        "default": default,
        "value": typed_value(kind, saved) if saved else None,
        "options": choices if kind == "select" else None,
        "min": limits.min,
        "max": limits.max,
        "step": limits.step,
        "accept": ACCEPT.get(kind),
    }


def _cover(cover: Mapping[str, Any]) -> Cover:
    return {
        "id": text_of(cover.get("id"))[:MAX_NAME_CHARS],
        "url": text_of(cover.get("url"))[:MAX_URL_CHARS],
        "thumbnailUri": text_of(cover.get("thumbnailUri"))[:MAX_URL_CHARS],
        "imageWidth": whole_number(cover.get("imageWidth")),
        "imageHeight": whole_number(cover.get("imageHeight")),
    }


def _tag(tag: Mapping[str, Any]) -> Tag:
    return {
        "id": text_of(tag.get("id"))[:MAX_NAME_CHARS],
        "name": first_text(tag.get("name"), tag.get("nameEn"))[:MAX_NAME_CHARS],
        "nameEn": first_text(tag.get("nameEn"), tag.get("name"))[:MAX_NAME_CHARS],
    }


def plain_text(markup: Any) -> str:
    """The text of a piece of HTML, one line for each paragraph."""
    clean = nh3.clean(text_of(markup)[:MAX_HTML_CHARS], tags=_LINE_TAGS, attributes={})
    broken = re.sub(r"(?:<(?!br>)[^>]*>\s*)+", "\n", clean).replace("<br>", "\n")
    lines = (" ".join(line.split()) for line in html.unescape(broken).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
