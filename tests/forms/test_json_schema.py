"""The schema of a form: one property for each field, with the saved value as its default."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forms.json_schema import field_keys
from forms.values import sent_value
from tests.forms.samples import JSON, SAMPLES, form_of, node, property_of


def test_integers_get_an_integer_schema_with_their_saved_value() -> None:
    field_data = ["INT", {"min": 1, "max": 64, "step": 8, "default": 16, "tooltip": "How many"}]

    assert property_of("INT", field_data, "8", description="数量") == {
        "type": "integer",
        "title": "数量",
        "description": "How many",
        "minimum": 1,
        "maximum": 64,
        "default": 8,
    }


@pytest.mark.parametrize(
    ("field_type", "field_data", "saved", "expected"),
    [
        (
            "FLOAT",
            None,
            "0.7000000000000001",
            {"type": "number", "title": "field", "default": 0.7000000000000001},
        ),
        ("FLOAT", None, "", {"type": "number", "title": "field"}),
        ("INT", None, "18446744073709551615", {"type": "integer", "title": "field"}),
        ("INT", ["INT", {"max": 5}], "6", {"type": "integer", "title": "field", "maximum": 5}),
        ("INT", ["INT", {"min": 5}], "4", {"type": "integer", "title": "field", "minimum": 5}),
        (
            "INT",
            ["INT", {"min": 5, "max": 5}],
            "5",
            {"type": "integer", "title": "field", "minimum": 5, "maximum": 5, "default": 5},
        ),
        ("BOOLEAN", None, "false", {"type": "boolean", "title": "field", "default": False}),
        ("BOOLEAN", None, True, {"type": "boolean", "title": "field", "default": True}),
        ("STRING", None, "hi", {"type": "string", "title": "field", "default": "hi"}),
        (
            "STRING",
            ["STRING", {"multiline": True}],
            "hi",
            {"type": "string", "title": "field", "format": "textarea", "default": "hi"},
        ),
        (
            "IMAGE",
            None,
            "a.png",
            {"type": "string", "title": "field", "contentMediaType": "image/*", "default": "a.png"},
        ),
        (
            "ZIP",
            None,
            "",
            {"type": "string", "title": "field", "contentMediaType": "application/zip"},
        ),
        (
            "LIST",
            [["a", "b"]],
            "b",
            {"type": "string", "title": "field", "enum": ["a", "b"], "default": "b"},
        ),
        ("LIST", [["a"]], "", {"type": "string", "title": "field", "enum": ["a"]}),
        (
            "LIST",
            [["", "a"]],
            "",
            {"type": "string", "title": "field", "enum": ["", "a"]},
        ),
        (
            "LIST",
            [["a"]],
            "gone",
            {"type": "string", "title": "field", "enum": ["a", "gone"], "default": "gone"},
        ),
        (
            "SWITCH",
            [{"name": "one", "index": 1.0}, {"name": "two", "index": 2.0}],
            "2",
            {
                "type": "string",
                "title": "field",
                "oneOf": [{"const": "1", "title": "one"}, {"const": "2", "title": "two"}],
                "default": "2",
            },
        ),
    ],
)
def test_the_schema_has_the_type_the_choices_and_the_saved_value(
    field_type: str, field_data: Any, saved: Any, expected: dict[str, Any]
) -> None:
    assert property_of(field_type, field_data, saved) == expected


def test_the_defaults_are_the_saved_values_and_pass_their_own_schema() -> None:
    form = form_of(
        *(node(**sample, nodeId=str(number)) for number, sample in enumerate(map(renamed, SAMPLES)))
    )
    properties = form["schema"]["properties"]
    untouched = {key: schema["default"] for key, schema in properties.items() if "default" in schema}

    jsonschema_rs.Draft202012Validator(form["schema"]).validate(untouched)
    assert {key: sent_value(value) for key, value in untouched.items()} == {
        f"{number}.{sample['fieldName']}": sample["fieldValue"] for number, sample in enumerate(SAMPLES)
    }


def renamed(sample: dict[str, Any]) -> dict[str, Any]:
    return {
        "field_type": sample["fieldType"],
        "field_data": sample["fieldData"],
        "fieldName": sample["fieldName"],
        "fieldValue": sample["fieldValue"],
    }


def test_every_field_has_a_key_of_its_own() -> None:
    identities = [
        ("150:5", "text"),
        ("150:5", "sampling_mode.top_p"),
        ("150", "提示词"),
        ("a", "b.c"),
        ("a.b", "c"),
        ("a.b", "c#2"),
        ("150:5", "text"),
    ]
    form = form_of(*(node(nodeId=node_id, fieldName=name) for node_id, name in identities))

    keys = [
        "150:5.text",
        "150:5.sampling_mode.top_p",
        "150.提示词",
        "a.b.c",
        "a.b.c#2",
        "a.b.c#2#2",
        "150:5.text",
    ]
    assert field_keys(form["nodeInfoList"]) == keys
    assert list(form["schema"]["properties"]) == keys[:-1]


def test_of_two_entries_for_one_field_the_first_counts() -> None:
    form = form_of(node("INT"), node("BOOLEAN"))

    assert form["schema"]["properties"] == {"1.field": {"type": "integer", "title": "field"}}


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(SAMPLES), JSON)
def test_the_default_is_the_value_and_passes_its_schema(sample: dict[str, Any], saved: Any) -> None:
    form = form_of(node(sample["fieldType"], sample["fieldData"], fieldValue=saved))
    schema = form["schema"]["properties"]["1.field"]

    value = form["nodeInfoList"][0]["input"]["value"]
    validator = jsonschema_rs.Draft202012Validator(schema)

    if "default" in schema:
        assert schema["default"] == value
        validator.validate(value)
    else:
        assert value is None or not validator.is_valid(value)
