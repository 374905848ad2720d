"""The form of a plain workflow: which inputs it has, their types, and graphs that cannot be read."""

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forms.builder import workflow_form
from forms.types import FieldInput, NodeField, WorkflowForm
from forms.validation import validate_node_info
from forms.workflow_graph import MAX_GRAPH_CHARS
from tests.forms.samples import JSON, TEXT, assert_input_is_sound

GRAPH = {
    "3": {
        "class_type": "KSampler",
        "_meta": {"title": "采样器"},
        "inputs": {"seed": 669816362794144, "cfg": 7.5, "sampler_name": "euler", "model": ["4", 0]},
    },
    "10": {"class_type": "LoadImage", "inputs": {"image": "example.png", "upload": "image"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}, "_meta": {}},
}


def fields_of(graph: Any) -> list[NodeField]:
    return workflow_form("1", graph)["nodeInfoList"]


def field_of(value: Any, class_type: Any = "Node", field_name: str = "field") -> NodeField:
    return fields_of({"1": {"class_type": class_type, "inputs": {field_name: value}}})[0]


def input_of(value: Any, class_type: Any = "Node", field_name: str = "field") -> FieldInput:
    return field_of(value, class_type, field_name)["input"]


def labelled(label: str, **members: Any) -> dict[str, Any]:
    return {"label": label, "labelEn": label, **members}


@pytest.mark.parametrize("graph", [GRAPH, json.dumps(GRAPH)], ids=["object", "JSON"])
def test_every_plain_value_is_a_field_in_the_order_of_the_graph(graph: Any) -> None:
    def field(
        identity: str, field_type: str, value: str, shown: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        node_id, node_name, name = identity.split()
        members = {"nodeId": node_id, "nodeName": node_name, "fieldName": name, "fieldType": field_type}
        descriptions = {"description": None, "descriptionCn": None, "descriptionEn": None} | more
        labels = {"label": name, "labelEn": name}
        return members | {"fieldValue": value} | descriptions | {"input": {**TEXT, **labels, **shown}}

    titled = {"description": "采样器"}
    seed = labelled("采样器: seed", type="integer", default=None, value=669816362794144)
    cfg = labelled("采样器: cfg", type="number", default=None, value=7.5)
    sampler = labelled("采样器: sampler_name", value="euler")
    image = {"type": "image", "default": None, "value": "example.png", "accept": "image/*"}
    assert workflow_form("1850925505116598274", graph) == {
        "workflowId": "1850925505116598274",
        "webappName": "",
        "description": "",
        "descriptionEn": "",
        "covers": [],
        "tags": [],
        "accessEncrypted": False,
        "statisticsInfo": {"likeCount": 0, "downloadCount": 0, "useCount": 0, "pv": 0, "collectCount": 0},
        "nodeInfoList": [
            field("3 KSampler seed", "INT", "669816362794144", seed, **titled),
            field("3 KSampler cfg", "FLOAT", "7.5", cfg, **titled),
            field("3 KSampler sampler_name", "STRING", "euler", sampler, **titled),
            field("10 LoadImage image", "IMAGE", "example.png", image),
            field("10 LoadImage upload", "STRING", "image", {"value": "image"}),
            field("6 CLIPTextEncode text", "STRING", "a cat", {"type": "textarea", "value": "a cat"}),
        ],
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "",
            "type": "object",
            "properties": {
                "3.seed": {"type": "integer", "title": "采样器: seed", "default": 669816362794144},
                "3.cfg": {"type": "number", "title": "采样器: cfg", "default": 7.5},
                "3.sampler_name": {"type": "string", "title": "采样器: sampler_name", "default": "euler"},
                "10.image": {
                    "type": "string",
                    "title": "image",
                    "contentMediaType": "image/*",
                    "default": "example.png",
                },
                "10.upload": {"type": "string", "title": "upload", "default": "image"},
                "6.text": {"type": "string", "title": "text", "format": "textarea", "default": "a cat"},
            },
            "additionalProperties": False,
        },
    }


@pytest.mark.parametrize(
    ("value", "kind", "saved", "typed"),
    [
        (True, "boolean", "true", True),
        (False, "boolean", "false", False),
        (0, "integer", "0", 0),
        (-1, "integer", "-1", -1),
        (2**64, "integer", "18446744073709551616", None),
        (0.5, "number", "0.5", 0.5),
        (8.0, "number", "8", 8),
        ("", "text", "", None),
        ("euler", "text", "euler", "euler"),
        ("8", "text", "8", "8"),
        ("x" * 80, "text", "x" * 80, "x" * 80),
        ("x" * 81, "textarea", "x" * 81, "x" * 81),
        ("two\nlines", "textarea", "two\nlines", "two\nlines"),
        (None, "text", "", None),
        ({"__value__": [False, True]}, "text", "[false,true]", "[false,true]"),
        ({"__value__": ["4", 0]}, "text", '["4",0]', '["4",0]'),
        ({"on": True, "lora": "a"}, "text", '{"on":true,"lora":"a"}', '{"on":true,"lora":"a"}'),
        ({"__value__": [1], "more": 2}, "text", '{"__value__":[1],"more":2}', '{"__value__":[1],"more":2}'),
        ([], "text", "[]", "[]"),
        (["a", "b"], "text", '["a","b"]', '["a","b"]'),
        (["4", 0, 1], "text", '["4",0,1]', '["4",0,1]'),
        (["4", True], "text", '["4",true]', '["4",true]'),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_type_follows_the_kind_of_value(value: Any, kind: str, saved: str, typed: Any) -> None:
    field = field_of(value)
    found = field["input"]["value"]

    assert (field["input"]["type"], field["fieldValue"]) == (kind, saved)
    assert (found, type(found)) == (typed, type(typed))


@pytest.mark.parametrize("link", [["4", 0], ["150:5", 1], [4, 0], ["4", 0.0]])
def test_a_link_to_another_node_is_not_a_field(link: list[Any]) -> None:
    assert [field["fieldName"] for field in fields_of({"1": {"inputs": {"a": link, "b": 1}}})] == ["b"]


@pytest.mark.parametrize(
    ("class_type", "field_name", "kind"),
    [
        ("LoadImage", "image", "image"),
        ("LoadImageMask", "image", "image"),
        ("LoadImageMask", "channel", "text"),
        ("LoadAudio", "audio", "audio"),
        ("LoadVideo", "file", "video"),
        ("VHS_LoadVideo", "video", "video"),
        ("VHS_LoadAudioUpload", "audio", "audio"),
        ("LoadVideoWithAudio", "audio", "audio"),
        ("LoadVideoWithAudio", "file", "video"),
        ("load_image", "IMAGE", "image"),
        ("SaveImage", "filename_prefix", "text"),
        ("KSampler", "image", "text"),
        ("LoadCheckpoint", "file", "text"),
        (None, "image", "text"),
    ],
)
def test_the_name_of_the_node_indicates_media(class_type: Any, field_name: str, kind: str) -> None:
    assert input_of("clip.bin", class_type, field_name)["type"] == kind


@pytest.mark.parametrize("value", [1, True, None])
def test_a_value_that_is_no_file_name_is_not_media(value: Any) -> None:
    assert input_of(value, "LoadImage", "image")["accept"] is None


@pytest.mark.parametrize(
    ("field_name", "kind"),
    [
        ("text", "textarea"),
        ("text_g", "textarea"),
        ("prompt", "textarea"),
        ("positivePrompt", "textarea"),
        ("negative", "textarea"),
        ("caption", "textarea"),
        ("context", "text"),
        ("texture", "text"),
        ("sampler_name", "text"),
    ],
)
def test_a_field_named_like_a_prompt_is_a_textarea(field_name: str, kind: str) -> None:
    assert input_of("a cat", field_name=field_name)["type"] == kind


@pytest.mark.parametrize(
    "graph",
    [
        None,
        "",
        "not JSON",
        '{"3": {"inputs": {"a": 1}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "null",
        "[]",
        5,
        [],
        [{"inputs": {"a": 1}}],
        {},
        {"nodes": [{"id": 1, "type": "KSampler"}], "links": []},
        {"3": None, "4": "x", "5": {}, "6": {"inputs": None}, "7": {"inputs": [1]}, "8": {"inputs": {}}},
        {"3": {"inputs": {"": 1}}, "": {"inputs": {"a": 1}}},
        json.dumps({"3": {"inputs": {"a": 1}}}).ljust(MAX_GRAPH_CHARS + 1),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_graph_that_cannot_be_read_gives_an_empty_form(graph: Any) -> None:
    assert workflow_form("7", graph) == workflow_form("7", {})
    assert workflow_form("7", {})["nodeInfoList"] == []


def test_what_can_be_read_in_a_malformed_graph_is_a_field() -> None:
    broken = {"1": None, "2": {"inputs": "x"}, "3": {"class_type": 5, "_meta": "x", "inputs": {"a": 1}}}
    field = fields_of(broken)[0]

    assert [field["nodeId"], field["nodeName"], field["fieldName"], field["fieldValue"]] == [
        "3",
        "5",
        "a",
        "1",
    ]
    assert len(fields_of(broken)) == 1


def test_a_graph_of_the_largest_size_is_read() -> None:
    assert len(fields_of(json.dumps({"3": {"inputs": {"a": 1}}}).ljust(MAX_GRAPH_CHARS))) == 1


NODES = st.fixed_dictionaries(
    {},
    optional={
        "class_type": st.sampled_from(["KSampler", "LoadImage", "VHS_LoadVideo"]) | JSON,
        "inputs": st.dictionaries(
            st.sampled_from(["seed", "image", "text", "model"]) | st.text(),
            st.tuples(st.text(), st.integers()).map(list) | st.fixed_dictionaries({"__value__": JSON}) | JSON,
            max_size=5,
        )
        | JSON,
        "_meta": st.fixed_dictionaries({}, optional={"title": JSON}) | JSON,
    },
)
GRAPHS = st.dictionaries(st.text(), NODES | JSON, max_size=5)


@settings(deadline=None, max_examples=100)
@given(GRAPHS | GRAPHS.map(json.dumps) | JSON)
def test_any_graph_gives_a_form_that_accepts_its_own_values(graph: Any) -> None:
    form = workflow_form("1", graph)

    json.dumps(form, ensure_ascii=False, allow_nan=False).encode()
    jsonschema_rs.meta.validate(form["schema"])
    assert set(form) == WorkflowForm.__required_keys__
    for field in form["nodeInfoList"]:
        assert set(field) == NodeField.__required_keys__
        assert_input_is_sound(field["input"])
        assert field["input"]["type"] not in {"select", "file"}
    assert validate_node_info(form, form["nodeInfoList"]) == []
    properties = form["schema"]["properties"]
    jsonschema_rs.Draft202012Validator(form["schema"]).validate(
        {key: schema["default"] for key, schema in properties.items() if "default" in schema}
    )


@settings(deadline=None, max_examples=100)
@given(GRAPHS)
def test_a_graph_reads_the_same_as_an_object_and_as_its_json(graph: Any) -> None:
    assert workflow_form("1", json.loads(json.dumps(graph))) == workflow_form("1", json.dumps(graph))
