"""The check before paying: what it refuses, what it lets pass, and which values it warns of."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forms.builder import webapp_form
from forms.types import WebappForm
from forms.validation import validate_node_info, value_warnings

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
def test_a_value_that_can_work_passes(form: WebappForm, value: Any) -> None:
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
def test_a_value_that_cannot_work_is_refused(form: WebappForm, value: Any, error: dict[str, Any]) -> None:
    assert validate_node_info(form, [item(value)]) == [error]


def test_the_first_twenty_choices_are_named() -> None:
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
def test_the_value_that_the_app_has_saved_always_passes(form: WebappForm, value: Any) -> None:
    assert validate_node_info(form, [item(value)]) == []


def test_the_node_list_can_go_back_as_it_came() -> None:
    nodes = [{"nodeId": str(number), **sample} for number, sample in enumerate(SAMPLES)]
    form = webapp_form("1", {"nodeInfoList": nodes})

    assert len(form["nodeInfoList"]) == 54
    assert validate_node_info(form, form["nodeInfoList"]) == []


def test_an_unknown_field_is_refused_and_nothing_need_be_sent() -> None:
    unknown = "The app has no such field."

    assert validate_node_info(STEPS, []) == []
    assert validate_node_info(STEPS, [item("5", node_id="2"), item("5", field_name="Field"), {}]) == [
        {"nodeId": "2", "fieldName": "field", "msg": unknown},
        {"nodeId": "1", "fieldName": "Field", "msg": unknown},
        {"nodeId": "", "fieldName": "", "msg": unknown},
    ]


def test_a_node_id_may_come_as_a_number() -> None:
    assert validate_node_info(STEPS, [item("5", node_id=1)]) == []
    assert validate_node_info(STEPS, [item("0", node_id=1)]) == [problem(LEAST)]


def test_every_wrong_value_is_named_in_the_order_sent_even_for_one_field() -> None:
    assert validate_node_info(STEPS, [item("0"), item("5"), item("x"), item("101")]) == [
        problem(LEAST),
        problem(WHOLE),
        problem(MOST),
    ]


def test_fields_whose_names_read_alike_are_checked_apart() -> None:
    number = {"nodeId": "a", "fieldName": "b.c", "fieldType": "INT", "fieldValue": "1"}
    flag = {"nodeId": "a.b", "fieldName": "c", "fieldType": "BOOLEAN", "fieldValue": "true"}
    form = webapp_form("1", {"nodeInfoList": [number, flag]})

    assert validate_node_info(form, [item("false", "a", "b.c"), item("7", "a.b", "c")]) == [
        {"nodeId": "a", "fieldName": "b.c", "msg": WHOLE},
        {"nodeId": "a.b", "fieldName": "c", "msg": TRUE_OR_FALSE},
    ]


def test_of_two_entries_for_one_field_the_first_decides() -> None:
    entry = {"nodeId": "1", "fieldName": "field", "fieldType": "INT", "fieldValue": "1"}
    form = webapp_form("1", {"nodeInfoList": [entry, entry | {"fieldType": "LIST", "fieldData": [["x"]]}]})

    assert validate_node_info(form, [item("x")]) == [problem(WHOLE)]


@pytest.mark.parametrize("kind", ["IMAGE", "AUDIO", "VIDEO", "ZIP"])
@pytest.mark.parametrize("sent", [[], [item("sample.bin")]], ids=["left out", "sent as saved"])
def test_a_file_left_at_the_authors_sample_is_warned_of(kind: str, sent: list[dict[str, Any]]) -> None:
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
def test_an_own_file_no_file_and_other_fields_are_not_warned_of(
    form: WebappForm, sent: list[dict[str, Any]]
) -> None:
    assert value_warnings(form, sent) == []


def test_each_sample_file_is_warned_of_by_its_field() -> None:
    nodes = [
        {"nodeId": node_id, "fieldName": "image", "fieldType": "IMAGE", "fieldValue": "sample.png"}
        for node_id in ("150:5", "7", "8")
    ]
    form = webapp_form("1", {"nodeInfoList": nodes})

    assert value_warnings(form, [item("api/own.png", 7, "image")]) == [
        {"nodeId": "150:5", "fieldName": "image", "message": SAMPLE_WARNING},
        {"nodeId": "8", "fieldName": "image", "message": SAMPLE_WARNING},
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(SAMPLES), VALUES, VALUES)
def test_whatever_is_sent_the_answer_is_a_list_of_problems(
    sample: dict[str, Any], saved: Any, value: Any
) -> None:
    form = form_with(sample["fieldType"], sample["fieldData"], saved)

    errors = validate_node_info(form, [item(value)])
    assert [(error["nodeId"], error["fieldName"]) for error in errors] == [("1", "field")] * len(errors)
    assert all(error["msg"] for error in errors)
    assert validate_node_info(form, form["nodeInfoList"]) == []
