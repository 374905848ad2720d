"""Validation before anything is paid: what is rejected, what passes, and which values get a warning."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forms.builder import webapp_form, workflow_form
from forms.types import Form, WebappForm
from forms.validation import node_info_from_values, validate_node_info, value_warnings

SAMPLES = json.loads((Path(__file__).parent.parent / "data" / "field-data.json").read_text(encoding="utf-8"))
SAMPLE_WARNING = "The author's sample file will be used; upload your own if that is not meant."


def form_with(field_type: str, field_data: Any = None, saved: Any = "") -> WebappForm:
    node = {
        "nodeId": "1",
        "fieldName": "field",
        "fieldType": field_type,
        "fieldData": field_data,
        "fieldValue": saved,
    }
    return webapp_form("1992755951447109633", {"nodeInfoList": [node]})


def item(value: Any, node_id: Any = "1", field_name: Any = "field") -> dict[str, Any]:
    return {"nodeId": node_id, "fieldName": field_name, "fieldValue": value}


def problem(msg: str, **more: Any) -> dict[str, Any]:
    return {"nodeId": "1", "fieldName": "field", "msg": msg, **more}


STEPS = form_with("INT", ["INT", {"min": 1, "max": 100}], "20")
SEED = form_with("INT", ["INT", {"min": 0, "max": 2**64 - 1}], "42")
STRENGTH = form_with("FLOAT", ["FLOAT", {"min": 0, "max": 1, "step": 0.1}], "0.5")
ENABLED = form_with("BOOLEAN", None, "false")
RATIO = form_with("LIST", [["1:1", "16:9 (Widescreen)"]], "1:1")
SWITCH = form_with("SWITCH", [{"name": "one", "index": 1.0}, {"name": "two", "index": 2.0}], "2")

WHOLE, NUMBER, TRUE_OR_FALSE = "Must be a whole number.", "Must be a number.", "Must be true or false."
LEAST, MOST = "Must be at least 1.", "Must be at most 100."


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (STEPS, "1"),
        (STEPS, "100"),
        (STEPS, 50),
        (STEPS, 50.0),
        (STEPS, "50.0"),
        (STEPS, "007"),
        (SEED, "18446744073709551615"),
        (SEED, 18446744073709551615),
        (STRENGTH, "0.7000000000000001"),
        (STRENGTH, 0.33),
        (STRENGTH, "1e-3"),
        (STRENGTH, ".5"),
        (ENABLED, "true"),
        (ENABLED, True),
        (form_with("BOOLEAN", None, "true"), "false"),
        (RATIO, "16:9 (Widescreen)"),
        (SWITCH, "1"),
        (SWITCH, 1),
        (SWITCH, 1.0),
        (form_with("STRING"), "anything\nat all"),
        (form_with("STRING"), ""),
        (form_with("CKPT", [{}, {"tooltip": "x"}], "a.safetensors"), "b.safetensors"),
        (form_with("IMAGE", [["a.png"], {"image_upload": True}], "a.png"), "api/b.png"),
        (form_with("VIDEO"), "https://example.com/clip.mp4"),
        (form_with("ZIP"), "0a1b"),
        (form_with("INT", "not JSON", "5"), "whatever"),
    ],
)
def test_a_valid_value_passes(form: WebappForm, value: Any) -> None:
    assert validate_node_info(form, [item(value)]) == []


@pytest.mark.parametrize(
    ("form", "value", "error"),
    [
        (STEPS, "0", problem(LEAST)),
        (STEPS, 101, problem(MOST)),
        (STEPS, "9" * 300, problem(MOST)),
        (STEPS, "-" + "9" * 299, problem(LEAST)),
        (STEPS, "9" * 301, problem(WHOLE)),
        (STEPS, "9" * 10_000, problem(WHOLE)),
        (STEPS, "100.5", problem(WHOLE)),
        (STEPS, "", problem(WHOLE)),
        (STEPS, None, problem(WHOLE)),
        (STEPS, " 8 ", problem(WHOLE)),
        (STEPS, "8_0", problem(WHOLE)),
        (STEPS, "８", problem(WHOLE)),
        (STEPS, "0x10", problem(WHOLE)),
        (STEPS, "1e999999999", problem(WHOLE)),
        (STEPS, "many", problem(WHOLE)),
        (STEPS, True, problem(WHOLE)),
        (STEPS, [8], problem(WHOLE)),
        (SEED, "-1", problem("Must be at least 0.")),
        (STRENGTH, "-0.1", problem("Must be at least 0.")),
        (STRENGTH, 1.0000001, problem("Must be at most 1.")),
        (STRENGTH, "NaN", problem(NUMBER)),
        (STRENGTH, float("nan"), problem(NUMBER)),
        (STRENGTH, "-Infinity", problem(NUMBER)),
        (STRENGTH, "1e999", problem(NUMBER)),
        (ENABLED, "True", problem(TRUE_OR_FALSE)),
        (ENABLED, "1", problem(TRUE_OR_FALSE)),
        (ENABLED, "", problem(TRUE_OR_FALSE)),
        (RATIO, "16:9", problem("Is not one of the choices.", allowed=["1:1", "16:9 (Widescreen)"])),
        (RATIO, "", problem("Is not one of the choices.", allowed=["1:1", "16:9 (Widescreen)"])),
        (SWITCH, "one", problem("Is not one of the choices.", allowed=["1", "2"])),
        (SWITCH, True, problem("Is not one of the choices.", allowed=["1", "2"])),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_invalid_value_is_an_error(form: WebappForm, value: Any, error: dict[str, Any]) -> None:
    assert validate_node_info(form, [item(value)]) == [error]


def test_an_error_names_the_first_twenty_choices() -> None:
    form = form_with("LIST", [[str(number) for number in range(30)]], "0")

    expected = [str(number) for number in range(20)]
    assert validate_node_info(form, [item("31")]) == [problem("Is not one of the choices.", allowed=expected)]


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (form_with("INT", ["INT", {"max": 1024}], "1920"), "1920"),
        (form_with("INT", ["INT", {"max": 1024}], "1920"), 1920),
        (form_with("FLOAT", ["FLOAT", {"max": 1}], "2.50"), 2.5),
        (form_with("INT", None, ""), ""),
        (form_with("INT", None, "seed"), "seed"),
        (form_with("BOOLEAN", None, "True"), "True"),
        (form_with("LIST", [["a"]], "gone"), "gone"),
        (form_with("LIST", [["a"]], ""), ""),
    ],
)
def test_the_saved_value_always_passes(form: WebappForm, value: Any) -> None:
    assert validate_node_info(form, [item(value)]) == []


def test_the_node_list_can_be_sent_back_unchanged() -> None:
    nodes = [{"nodeId": str(number), **sample} for number, sample in enumerate(SAMPLES)]
    form = webapp_form("1", {"nodeInfoList": nodes})

    assert len(form["nodeInfoList"]) == 54
    assert validate_node_info(form, form["nodeInfoList"]) == []


def test_an_unknown_field_is_an_error_and_any_field_may_be_left_out() -> None:
    unknown = "The app has no such field."

    assert validate_node_info(STEPS, []) == []
    assert validate_node_info(STEPS, [item("5", node_id="2"), item("5", field_name="Field"), {}]) == [
        {"nodeId": "2", "fieldName": "field", "msg": unknown},
        {"nodeId": "1", "fieldName": "Field", "msg": unknown},
        {"nodeId": "", "fieldName": "", "msg": unknown},
    ]


def test_a_node_id_may_be_a_number() -> None:
    assert validate_node_info(STEPS, [item("5", node_id=1)]) == []
    assert validate_node_info(STEPS, [item("0", node_id=1)]) == [problem(LEAST)]


def test_every_invalid_value_is_an_error_in_the_order_sent_even_for_one_field() -> None:
    assert validate_node_info(STEPS, [item("0"), item("5"), item("x"), item("101")]) == [
        problem(LEAST),
        problem(WHOLE),
        problem(MOST),
    ]


def test_fields_with_the_same_key_are_validated_separately() -> None:
    number = {"nodeId": "a", "fieldName": "b.c", "fieldType": "INT", "fieldValue": "1"}
    flag = {"nodeId": "a.b", "fieldName": "c", "fieldType": "BOOLEAN", "fieldValue": "true"}
    form = webapp_form("1", {"nodeInfoList": [number, flag]})

    assert validate_node_info(form, [item("false", "a", "b.c"), item("7", "a.b", "c")]) == [
        {"nodeId": "a", "fieldName": "b.c", "msg": WHOLE},
        {"nodeId": "a.b", "fieldName": "c", "msg": TRUE_OR_FALSE},
    ]


def test_of_two_entries_for_one_field_the_first_counts() -> None:
    entry = {"nodeId": "1", "fieldName": "field", "fieldType": "INT", "fieldValue": "1"}
    form = webapp_form("1", {"nodeInfoList": [entry, entry | {"fieldType": "LIST", "fieldData": [["x"]]}]})

    assert validate_node_info(form, [item("x")]) == [problem(WHOLE)]


@pytest.mark.parametrize("kind", ["IMAGE", "AUDIO", "VIDEO", "ZIP"])
@pytest.mark.parametrize("sent", [[], [item("sample.bin")]], ids=["left out", "sent as saved"])
def test_a_file_that_stays_the_authors_sample_gets_a_warning(kind: str, sent: list[dict[str, Any]]) -> None:
    assert value_warnings(form_with(kind, None, "sample.bin"), sent) == [
        {"nodeId": "1", "fieldName": "field", "message": SAMPLE_WARNING}
    ]


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        (form_with("IMAGE", None, "sample.png"), [item("api/own.png")]),
        (form_with("IMAGE", None, "sample.png"), [item("None")]),
        (form_with("IMAGE", None, "None"), []),
        (form_with("IMAGE", None, " "), [item(" ")]),
        (form_with("STRING", None, "sample.png"), []),
        (form_with("LIST", [["sample.png"]], "sample.png"), []),
    ],
)
def test_a_file_of_ones_own_no_file_and_other_fields_get_no_warning(
    form: WebappForm, sent: list[dict[str, Any]]
) -> None:
    assert value_warnings(form, sent) == []


def test_the_warning_names_the_field_of_each_sample_file() -> None:
    nodes = [
        {"nodeId": node_id, "fieldName": "image", "fieldType": "IMAGE", "fieldValue": "sample.png"}
        for node_id in ("150:5", "7", "8")
    ]
    form = webapp_form("1", {"nodeInfoList": nodes})

    assert value_warnings(form, [item("api/own.png", 7, "image")]) == [
        {"nodeId": "150:5", "fieldName": "image", "message": SAMPLE_WARNING},
        {"nodeId": "8", "fieldName": "image", "message": SAMPLE_WARNING},
    ]


def test_a_form_without_fields_rejects_nothing() -> None:
    assert validate_node_info(webapp_form("1", {}), [item("x")]) == []
    assert validate_node_info(workflow_form("1", "not JSON"), [item("x")]) == []


WORKFLOW = workflow_form(
    "1", {"3": {"class_type": "KSampler", "inputs": {"cfg": 8, "steps": 20, "on": True}}}
)


@pytest.mark.parametrize(
    ("field_name", "value"), [("cfg", "7.5"), ("cfg", 7.5), ("cfg", "-1"), ("steps", 30), ("on", "false")]
)
def test_a_whole_number_of_a_workflow_may_become_a_fraction(field_name: str, value: Any) -> None:
    assert validate_node_info(WORKFLOW, [item(value, "3", field_name)]) == []


@pytest.mark.parametrize(
    ("field_name", "msg"),
    [("cfg", NUMBER), ("on", TRUE_OR_FALSE), ("model", "The workflow has no such field.")],
)
def test_an_invalid_value_of_a_workflow_is_an_error(field_name: str, msg: str) -> None:
    assert validate_node_info(WORKFLOW, [item("many", "3", field_name)]) == [
        {"nodeId": "3", "fieldName": field_name, "msg": msg}
    ]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (8, "8"),
        (8.0, "8"),
        (0.5, "0.5"),
        (True, "true"),
        (None, ""),
        ("a cat", "a cat"),
        ([1, "a"], '[1,"a"]'),
    ],
)
def test_values_become_the_node_list_with_strings(value: Any, sent: str) -> None:
    assert node_info_from_values(STEPS, {"1.field": value}) == (
        [{"nodeId": "1", "fieldName": "field", "fieldType": "INT", "fieldValue": sent}],
        [],
    )


def test_the_values_of_a_workflow_have_no_field_type() -> None:
    assert node_info_from_values(WORKFLOW, {"3.cfg": 7.5}) == (
        [{"nodeId": "3", "fieldName": "cfg", "fieldValue": "7.5"}],
        [],
    )


def test_values_become_the_node_list_in_the_order_sent() -> None:
    nodes = [
        {"nodeId": node_id, "fieldName": name, "fieldType": kind, "fieldValue": "1"}
        for node_id, name, kind in [("a", "b.c", "INT"), ("a.b", "c", "STRING"), ("150:5", "提示词", "")]
    ]
    form = webapp_form("1", {"nodeInfoList": nodes})

    assert list(form["schema"]["properties"]) == ["a.b.c", "a.b.c#2", "150:5.提示词"]
    assert node_info_from_values(form, {"150:5.提示词": "x", "a.b.c#2": "y", "a.b.c": 2}) == (
        [
            {"nodeId": "150:5", "fieldName": "提示词", "fieldValue": "x"},
            {"nodeId": "a.b", "fieldName": "c", "fieldType": "STRING", "fieldValue": "y"},
            {"nodeId": "a", "fieldName": "b.c", "fieldType": "INT", "fieldValue": "2"},
        ],
        [],
    )


@pytest.mark.parametrize(
    ("form", "msg"),
    [(STEPS, "The app has no such field."), (WORKFLOW, "The workflow has no such field.")],
)
@pytest.mark.parametrize(
    ("key", "node_id", "field_name"),
    [("1.stpes", "1", "stpes"), ("9.a.b", "9", "a.b"), ("steps", "steps", ""), ("", "", ""), (".x", "", "x")],
)
def test_an_unknown_key_is_an_error(form: Form, msg: str, key: str, node_id: str, field_name: str) -> None:
    assert node_info_from_values(form, {key: 8}) == (
        [],
        [{"nodeId": node_id, "fieldName": field_name, "msg": msg}],
    )


@pytest.mark.parametrize("form", [None, webapp_form("1", {}), workflow_form("1", None)])
def test_without_a_form_a_key_is_split_at_its_first_dot(form: Form | None) -> None:
    node_info, errors = node_info_from_values(form, {"3.steps": 8, "150:5.a.b": "x", "steps": 8, "3.": 8})

    assert node_info == [
        {"nodeId": "3", "fieldName": "steps", "fieldValue": "8"},
        {"nodeId": "150:5", "fieldName": "a.b", "fieldValue": "x"},
    ]
    msg = "A key is the node id, a dot and the field name."
    assert errors == [
        {"nodeId": "steps", "fieldName": "", "msg": msg},
        {"nodeId": "3", "fieldName": "", "msg": msg},
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(SAMPLES), VALUES, VALUES)
def test_any_value_gives_a_list_of_errors(sample: dict[str, Any], saved: Any, value: Any) -> None:
    form = form_with(sample["fieldType"], sample["fieldData"], saved)

    errors = validate_node_info(form, [item(value)])
    assert [(error["nodeId"], error["fieldName"]) for error in errors] == [("1", "field")] * len(errors)
    assert all(error["msg"] for error in errors)
    assert validate_node_info(form, form["nodeInfoList"]) == []


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(SAMPLES), st.dictionaries(st.sampled_from(["1.field", "1.x", "x"]) | st.text(), VALUES)
)
def test_any_values_give_strings_or_an_error_for_each_key(sample: dict[str, Any], values: Any) -> None:
    form = form_with(sample["fieldType"], sample["fieldData"])
    node_info, errors = node_info_from_values(form, values)

    assert len(node_info) + len(errors) == len(values)
    assert all(isinstance(text, str) for item in node_info for text in item.values())
    assert [item["nodeId"] for item in node_info] == ["1"] * ("1.field" in values)


def test_the_defaults_of_the_schema_are_valid_values() -> None:
    nodes = [{"nodeId": str(number), **sample} for number, sample in enumerate(SAMPLES)]
    form = webapp_form("1", {"nodeInfoList": nodes})
    defaults = {key: schema["default"] for key, schema in form["schema"]["properties"].items()}
    node_info, errors = node_info_from_values(form, defaults)

    assert (len(node_info), errors) == (54, [])
    assert validate_node_info(form, node_info) == []
