"""Reading `fieldData`: every known shape, and anything else in its place."""

import json
from typing import Any

import pytest

from forms.types import FieldInput
from tests.forms.samples import (
    EXPECTED_INPUTS,
    NO_CONSTRAINTS,
    SAMPLES,
    TEXT,
    form_of,
    input_of,
    node,
    property_of,
    values_of,
)


@pytest.mark.parametrize(("sample", "expected"), list(zip(SAMPLES, EXPECTED_INPUTS, strict=True)))
def test_every_recorded_sample_has_its_input(sample: dict[str, Any], expected: FieldInput) -> None:
    kept = {"fieldName": sample["fieldName"], "fieldValue": sample["fieldValue"]}

    assert input_of(sample["fieldType"], sample["fieldData"], **kept) == expected


@pytest.mark.parametrize(
    ("field_type", "field_data", "kind"),
    [
        ("int", None, "integer"),
        ("Float", '["FLOAT", {}]', "number"),
        ("NUMBER", None, "number"),
        ("TEXT", '["STRING", {"multiline": true}]', "textarea"),
        ("STRING", '["STRING", {"multiline": false}]', "text"),
        ("FLOAT", '["INT", {"min": 1}]', "number"),
        ("INT", "null", "integer"),
        ("INT", "  ", "integer"),
        ("INT", '["INT"]', "integer"),
        ("INT", "[]", "integer"),
        ("INT", {"min": 0}, "integer"),
        ("BOOLEAN", [["true", "false"]], "boolean"),
        ("COMBO", [["a"]], "select"),
        ("SELECT", [["a"]], "select"),
        ("SWITCH", None, "text"),
        ("SWITCH", [["a", "b"]], "select"),
        ("LIST", [["a"], None], "select"),
        ("LIST", '["INT", {"min": 1}]', "text"),
        ("LIST", ["STRING", "CKPT"], "text"),
        ("LIST", ["CKPT"], "text"),
        ("LIST", ["LORA"], "text"),
        ("LIST", [[]], "text"),
        ("LIST", [[None, {}, []]], "text"),
        ("LIST", ["COMBO", {"options": "a"}], "text"),
        ("CKPT", [["a.safetensors"], {}], "text"),
        ("CKPT", [{}, {"multiline": True}], "text"),
        ("STRING", [["a", "b"]], "text"),
        ("UNHEARD_OF", ["INT", {"min": 1}], "text"),
        (None, ["INT", {"min": 1}], "text"),
        (7, [["a"]], "text"),
        ("ZIP", None, "file"),
        ("IMAGE", "not JSON", "image"),
        ("IMAGE", [["a.png"], {"image_upload": False}], "image"),
        ("LIST", [["a.png"], {"image_upload": True}], "image"),
        ("LIST", [["a.png"], {"image_upload": False}], "select"),
        ("LIST", ["COMBO", {"options": ["a.mp4"], "video_upload": True}], "video"),
        ("STRING", ["STRING", {"audio_upload": True}], "audio"),
        ("CKPT", [{}, {"image_upload": True}], "image"),
    ],
)
def test_the_type_follows_the_field_type_and_the_shape(field_type: Any, field_data: Any, kind: str) -> None:
    assert input_of(field_type, field_data)["type"] == kind


@pytest.mark.parametrize("field_type", ["STRING", "LIST", "INT", "FLOAT", "BOOLEAN", "CKPT", "SOMETHING"])
@pytest.mark.parametrize(
    "field_data",
    [
        "not JSON",
        '["INT", {"min": 0',
        "a, b, c",
        '"text"',
        "5",
        "true",
        5,
        '[1, {"min": 0}]',
        "[null]",
        '["INT", {}] tail',
        "[" * 5_000 + "]" * 5_000,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        "x" * 100_000,
        json.dumps([[f"option {number}" for number in range(10_000)]]),
        json.dumps([{"name": str(number)} for number in range(1_001)]),
        json.dumps(["COMBO", {"options": list(range(1_001))}]),
        f'["INT", {{"max": {"9" * 5_000}}}]',
    ],
    ids=lambda value: str(value)[:20],
)
def test_malformed_unknown_or_oversized_field_data_gives_a_text_input(
    field_type: str, field_data: Any
) -> None:
    assert input_of(field_type, field_data) == TEXT


def test_a_thousand_choices_and_sixty_four_thousand_characters_are_still_read() -> None:
    thousand = [str(number) for number in range(1_000)]

    assert values_of("LIST", json.dumps([thousand])) == values_of("LIST", thousand) == thousand
    assert input_of("INT", '["INT", {"max": 5}]'.ljust(65_536))["max"] == 5
    assert input_of("INT", '["INT", {"max": 5}]'.ljust(65_537)) == TEXT


def test_a_deeply_nested_structure_has_no_choices_and_no_value() -> None:
    nested: list[Any] = []
    for _ in range(10_000):
        nested = [nested]

    assert input_of("LIST", nested) == TEXT
    assert form_of(node(fieldValue=nested))["nodeInfoList"][0]["fieldValue"] == ""


@pytest.mark.parametrize(
    ("field_data", "values"),
    [
        ([[10, 1.5, 2.0, True, "x"]], ["10", "1.5", "2", "true", "x"]),
        ([["b", "a", "b", "c", "a"]], ["b", "a", "c"]),
        ([["", "a"]], ["", "a"]),
        (["image", "video"], ["image", "video"]),
        ([["a.png", "example.png", "None", "keep_this_dic"]], ["a.png", "None"]),
        ([["a", None, ["b"], {"name": "c"}]], ["a", "c"]),
        ([{"name": "a"}, {"name": "b", "index": 0}, {"name": "c", "index": ""}], ["a", "0", "c"]),
        ([{"name": "a", "index": "1"}, {"name": "b", "index": 1.0}], ["1"]),
        ([{"index": 2.5}, {"default": 1}, {"name": None, "index": None}], ["2.5"]),
        ([{"index": "1", "value": "2", "name": "3"}, {"value": "4", "name": "5"}], ["1", "4"]),
        ({"options": [{"label": "A", "value": "a"}]}, ["a"]),
        ([{"label": "A", "value": "a"}], ["a"]),
        (["ANYTHING", {"options": ["a", "b"]}], ["a", "b"]),
        ('[{"name":"input1","index":1.0},{"name":"input2","index":2.0}]', ["1", "2"]),
        ('[["\\ud800"]]', ["?"]),
    ],
)
def test_choices_are_unique_strings_in_their_order(field_data: Any, values: list[str]) -> None:
    assert values_of("LIST", field_data) == values


def test_a_choice_is_labelled_by_description_or_name_or_label_or_value() -> None:
    choices = [
        {"index": "1", "name": "one", "description": "The first", "descriptionEn": "First"},
        {"index": "2", "name": "two", "description": " ", "descriptionEn": ""},
        {"value": "3", "label": "Three"},
        {"index": 4},
    ]

    assert input_of("LIST", choices)["options"] == [
        {"value": "1", "label": "The first", "labelEn": "First"},
        {"value": "2", "label": "two", "labelEn": None},
        {"value": "3", "label": "Three", "labelEn": None},
        {"value": "4", "label": "4", "labelEn": None},
    ]


@pytest.mark.parametrize(
    ("field_type", "field_data", "default"),
    [
        ("INT", ["INT", {"default": 5}], 5),
        ("INT", ["INT", {"default": 5.0}], 5),
        ("INT", ["INT", {"default": "5"}], 5),
        ("INT", ["INT", {"default": 5.5}], None),
        ("INT", ["INT", {"default": True}], None),
        ("INT", ["INT", {"default": 2**53}], None),
        ("FLOAT", ["FLOAT", {"default": 0.7000000000000001}], 0.7000000000000001),
        ("FLOAT", '["FLOAT", {"default": NaN}]', None),
        ("FLOAT", '["FLOAT", {"default": 1e400}]', None),
        ("BOOLEAN", ["BOOLEAN", {"default": True}], True),
        ("BOOLEAN", ["BOOLEAN", {"default": "False"}], False),
        ("BOOLEAN", ["BOOLEAN", {"default": 1}], None),
        ("STRING", ["STRING", {"default": "a cat"}], "a cat"),
        ("STRING", ["STRING", {"default": 5}], "5"),
        ("STRING", ["STRING", {"default": ["a"]}], ""),
        ("IMAGE", [["a.png"], {"image_upload": True, "default": "a.png"}], None),
        ("LIST", [["a", "b"], {"default": "b"}], "b"),
        ("LIST", [["a", "b"], {"default": "c"}], None),
        ("LIST", [["", "b"]], None),
        ("LIST", [[10, 15], {"default": 10}], "10"),
        ("LIST", [["a", "example.png"], {"default": "example.png"}], None),
        ("LIST", [{"name": "x", "index": 2.0}, {"default": 2}], "2"),
        ("LIST", [{"name": "x", "index": 2.0}, {"default": "x"}], "2"),
        ("LIST", [{"name": "x", "index": "example.png"}, {"name": "y"}, {"default": "x"}], None),
        ("LIST", [{"name": None}, {"name": "y"}, {"default": ""}], None),
        ("LIST", [{"name": "x", "index": "y"}, {"name": "y", "index": "z"}, {"default": "y"}], "y"),
    ],
)
def test_the_default_is_the_nodes_own_in_the_inputs_type(
    field_type: str, field_data: Any, default: Any
) -> None:
    found = input_of(field_type, field_data)["default"]

    assert (found, type(found)) == (default, type(default))


@pytest.mark.parametrize(
    ("bound", "kept"),
    [
        ("0", 0),
        ("-0.5", -0.5),
        ("9007199254740991", 2**53 - 1),
        ("-9007199254740991", 1 - 2**53),
        ("9007199254740992", None),
        ("9223372036854775807", None),
        ("9223372036854775808", None),
        ("-9223372036854775808", None),
        ("18446744073709551615", None),
        ("1.8446744073709552e19", None),
        ("1.7976931348623157e308", None),
        ("-1.797e308", None),
        ("1e400", None),
        ("NaN", None),
        ("-Infinity", None),
        ("true", None),
        ("null", None),
        ("[1]", None),
        ('"0.25"', 0.25),
        ('"many"', None),
    ],
)
@pytest.mark.parametrize(("name", "keyword"), [("min", "minimum"), ("max", "maximum")])
def test_a_bound_is_kept_where_javascript_represents_it_exactly(
    name: str, keyword: str, bound: str, kept: float | None
) -> None:
    field_data = f'["FLOAT", {{"{name}": {bound}}}]'

    assert input_of("FLOAT", field_data)[name] == kept  # type: ignore[literal-required]
    assert property_of("FLOAT", field_data).get(keyword) == kept


def test_bounds_that_exclude_every_value_are_dropped_and_equal_ones_are_kept() -> None:
    crossed = input_of("INT", ["INT", {"min": 5, "max": 4, "step": 2}])
    equal = input_of("INT", ["INT", {"min": 5, "max": 5}])

    assert (crossed["min"], crossed["max"], crossed["step"]) == (None, None, 2)
    assert (equal["min"], equal["max"]) == (5, 5)


@pytest.mark.parametrize(("step", "kept"), [(0.1, 0.1), (1, 1), (0, None), (-1, None), ("x", None)])
def test_a_step_is_positive_or_none(step: Any, kept: float | None) -> None:
    assert input_of("FLOAT", ["FLOAT", {"step": step}])["step"] == kept


@pytest.mark.parametrize(
    ("field_type", "kind", "accept"),
    [
        ("IMAGE", "image", "image/*"),
        ("AUDIO", "audio", "audio/*"),
        ("VIDEO", "video", "video/*"),
        ("ZIP", "file", ".zip"),
    ],
)
def test_a_file_field_lists_the_files_it_accepts(field_type: str, kind: str, accept: str) -> None:
    assert input_of(field_type, None) == NO_CONSTRAINTS | {"type": kind, "accept": accept}


def test_only_numbers_have_bounds() -> None:
    limits = {"min": 1, "max": 2, "step": 1}

    assert input_of("STRING", ["STRING", limits]) == TEXT
    assert input_of("BOOLEAN", ["BOOLEAN", limits]) == NO_CONSTRAINTS | {"type": "boolean"}


@pytest.mark.parametrize(("tooltip", "shown"), [("Help", "Help"), ("", None), (None, None), (["x"], None)])
def test_a_tooltip_is_text_or_none(tooltip: Any, shown: str | None) -> None:
    assert input_of("STRING", ["STRING", {"tooltip": tooltip}])["tooltip"] == shown
    assert property_of("STRING", ["STRING", {"tooltip": tooltip}]).get("description") == shown
