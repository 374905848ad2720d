"""What the tests of forms share: the samples, one-field forms, and any JSON that may come."""

import json
from pathlib import Path
from typing import Any, get_args

from hypothesis import strategies as st

from forms.builder import webapp_form
from forms.types import FieldInput, InputType, WebappForm

DATA = Path(__file__).parent.parent / "data"

DEMO = json.loads((DATA / "api-call-demo.json").read_text(encoding="utf-8"))["data"]

SAMPLES = json.loads((DATA / "field-data.json").read_text(encoding="utf-8"))

EXPECTED_INPUTS = json.loads((DATA / "field-inputs.json").read_text(encoding="utf-8"))

NO_CONSTRAINTS: FieldInput = {
    "type": "text",
    "label": "field",
    "labelEn": "field",
    "tooltip": None,
    "default": None,
    "value": None,
    "options": None,
    "min": None,
    "max": None,
    "step": None,
    "accept": None,
}

TEXT = NO_CONSTRAINTS | {"default": ""}


def node(field_type: Any = "STRING", field_data: Any = None, **members: Any) -> dict[str, Any]:
    return {
        "nodeId": "1",
        "nodeName": "Node",
        "fieldName": "field",
        "fieldType": field_type,
        "fieldValue": "",
        "fieldData": field_data,
        **members,
    }


def form_of(*nodes: dict[str, Any]) -> WebappForm:
    return webapp_form("1992755951447109633", {"nodeInfoList": list(nodes)})


def input_of(field_type: Any, field_data: Any, **members: Any) -> FieldInput:
    return form_of(node(field_type, field_data, **members))["nodeInfoList"][0]["input"]


def property_of(field_type: Any, field_data: Any, saved: Any = "", **members: Any) -> dict[str, Any]:
    properties = form_of(node(field_type, field_data, fieldValue=saved, **members))["schema"]["properties"]
    found: dict[str, Any] = properties["1.field"]
    return found


def values_of(field_type: str, field_data: Any) -> list[str]:
    return [option["value"] for option in input_of(field_type, field_data)["options"] or []]


def same_choices(*values: str) -> list[dict[str, Any]]:
    return [{"value": value, "label": value, "labelEn": None} for value in values]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)

SETTING_NAMES = ["min", "max", "step", "default", "options", "multiline", "tooltip", "image_upload"]

CHOICE_NAMES = ["name", "index", "value", "label", "description", "descriptionEn", "default"]

SETTINGS = st.dictionaries(st.sampled_from(SETTING_NAMES), JSON)

CHOICES = st.lists(JSON | st.dictionaries(st.sampled_from(CHOICE_NAMES), JSON), max_size=6)

TAGS = st.sampled_from(["STRING", "INT", "FLOAT", "COMBO", "BOOLEAN", "other"])

SHAPES = (
    JSON
    | SETTINGS
    | CHOICES
    | st.tuples(TAGS, SETTINGS).map(list)
    | st.tuples(CHOICES, SETTINGS).map(list)
    | st.tuples(SETTINGS, SETTINGS).map(list)
)

FIELD_TYPES = st.sampled_from(["STRING", "INT", "FLOAT", "LIST", "SWITCH", "BOOLEAN", "IMAGE", "ZIP"]) | JSON

FIELD_MEMBERS = {
    "nodeId": st.sampled_from(["1", "150:5", "a.b"]) | JSON,
    "fieldName": st.sampled_from(["text", "b.c", "c"]) | JSON,
    "fieldType": FIELD_TYPES,
    "fieldData": SHAPES | SHAPES.map(json.dumps) | st.text(),
    "fieldValue": JSON,
    "description": JSON,
    "descriptionCn": JSON,
    "descriptionEn": JSON,
}

APP_MEMBERS = {
    "nodeInfoList": st.lists(st.fixed_dictionaries({}, optional=FIELD_MEMBERS) | JSON, max_size=5) | JSON,
    "covers": st.lists(st.fixed_dictionaries({}, optional={"id": JSON, "imageWidth": JSON})) | JSON,
    "tags": st.lists(st.fixed_dictionaries({}, optional={"id": JSON, "name": JSON})) | JSON,
    "statisticsInfo": st.dictionaries(st.sampled_from(["pv", "likeCount"]), JSON) | JSON,
    "webappName": JSON,
    "description": JSON,
    "descriptionEn": JSON,
    "accessEncrypted": JSON,
}


def assert_input_is_sound(shown: FieldInput) -> None:
    options = shown["options"]
    assert set(shown) == FieldInput.__required_keys__
    assert shown["type"] in get_args(InputType)
    assert (options is not None) == (shown["type"] == "select")
    assert all(isinstance(option["value"], str) for option in options or [])
    assert all(abs(shown[name] or 0) < 2**53 for name in ("min", "max", "step"))
    assert (shown["accept"] is not None) == (shown["type"] in {"image", "audio", "video", "file"})
