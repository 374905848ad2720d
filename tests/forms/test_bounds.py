"""The bounds on a whole form: what does not fit is left out or becomes text, and building it stays cheap."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from forms.builder import (
    MAX_COVERS,
    MAX_FIELDS,
    MAX_FORM_CHARS,
    MAX_FORM_CHOICES,
    MAX_FORM_FIELD_DATA_CHARS,
    MAX_TAGS,
    webapp_form,
    workflow_form,
)
from forms.types import Form
from forms.validation import node_info_from_values, validate_node_info
from tests.forms.samples import form_of, node

TEN_FIELDS = [node("INT", '["INT", {"min": 1, "max": 9}]', nodeId=str(number)) for number in range(10)]
MAX_BYTES = 8_000_000


def nodes(count: int, field_type: str, field_data: Any, **members: Any) -> list[dict[str, Any]]:
    return [node(field_type, field_data, nodeId=str(number), **members) for number in range(count)]


def options_of(form: Form) -> list[int]:
    return [len(field["input"]["options"] or []) for field in form["nodeInfoList"]]


def choices(count: int, prefix: str = "option") -> str:
    return json.dumps([[f"{prefix} {number}" for number in range(count)]])


def test_fields_beyond_the_thousandth_are_left_out_and_the_form_says_so() -> None:
    whole, cut = (webapp_form("1", {"nodeInfoList": nodes(count, "INT", None)}) for count in (1_000, 1_001))

    assert [len(form["nodeInfoList"]) for form in (whole, cut)] == [MAX_FIELDS, MAX_FIELDS]
    assert "truncated" not in whole
    assert cut == whole | {"truncated": True}


def test_choices_beyond_the_ten_thousandth_become_text_inputs() -> None:
    form = webapp_form("1", {"nodeInfoList": nodes(30, "LIST", choices(500, "o"))})
    types = [field["input"]["type"] for field in form["nodeInfoList"]]

    assert options_of(form) == [500] * 20 + [0] * 10
    assert types == ["select"] * 20 + ["text"] * 10
    assert sum(options_of(form)) == MAX_FORM_CHOICES
    assert "truncated" not in form


def test_a_smaller_list_of_choices_fits_where_a_larger_one_did_not() -> None:
    large = nodes(19, "LIST", choices(500, "o"))
    form = form_of(
        *large, node("LIST", choices(501, "o")), node("LIST", choices(500, "o")), node("LIST", choices(1))
    )

    assert options_of(form) == [500] * 19 + [0, 500, 0]


def test_field_data_beyond_the_bound_is_not_read_and_its_fields_keep_their_type() -> None:
    long = [{"name": "x" * 60_000, "index": "1"}]
    last = [node("INT", ["INT", {"max": 5}]), node("LIST", [["a"]]), node("BOOLEAN"), node("IMAGE")]
    form = form_of(*nodes(7, "LIST", long), *last)

    assert MAX_FORM_FIELD_DATA_CHARS < 7 * 60_000
    assert options_of(form) == [1] * 6 + [0] * 5
    assert [field["input"]["type"] for field in form["nodeInfoList"]][6:] == [
        *("text", "integer", "text", "boolean", "image")
    ]
    assert form["nodeInfoList"][7]["input"]["max"] is None


def test_a_field_that_is_too_long_is_left_out_and_the_others_stay() -> None:
    long = node(nodeId="2", fieldValue="x" * MAX_FORM_CHARS)
    form = form_of(node(nodeId="1"), long, node(nodeId="3"))

    assert [field["nodeId"] for field in form["nodeInfoList"]] == ["1", "3"]
    assert form["truncated"] is True


def test_the_longest_value_that_a_submit_accepts_fits() -> None:
    form = form_of(node(fieldValue="x" * 200_000))

    assert form["nodeInfoList"][0]["fieldValue"] == form["nodeInfoList"][0]["input"]["value"] == "x" * 200_000


def test_a_truncated_form_rejects_no_field_that_it_does_not_know() -> None:
    form = webapp_form("1", {"nodeInfoList": [*TEN_FIELDS, *nodes(2_000, "INT", None)]})
    unknown = {"nodeId": "1999", "fieldName": "field", "fieldValue": "5"}

    assert validate_node_info(form, [unknown]) == []
    assert validate_node_info(form, [unknown | {"nodeId": "1", "fieldValue": "10"}]) == [
        {"nodeId": "1", "fieldName": "field", "msg": "Must be at most 9."}
    ]
    assert node_info_from_values(form, {"1999.field": 5}) == ([unknown], [])


def test_covers_tags_and_names_are_bounded() -> None:
    form = webapp_form(
        "1",
        {
            "webappName": "x" * 10_000,
            "covers": [{"id": "1", "url": "x" * 10_000}] * 100,
            "tags": [{"id": "1", "name": "x" * 10_000}] * 100,
        },
    )

    assert (len(form["covers"]), len(form["tags"])) == (MAX_COVERS, MAX_TAGS)
    assert len(json.dumps(form)) < 300_000


ENTRIES = [{"name": f"n{n}", "index": f"i{n}", "description": "d", "descriptionEn": "e"} for n in range(500)]
SIX_THOUSAND_INPUTS = {
    str(number): {"class_type": "KSampler", "inputs": {f"field {n}": 8 for n in range(10)}}
    for number in range(600)
}
TEXTS = {"description": "<p><b>x</b>" * 2_000, "descriptionEn": "<div>" * 4_000}


COLLIDING = [node(nodeId=".".join("a" * n), fieldName=".".join("a" * (400 - n))) for n in range(1, 400)]


@pytest.mark.parametrize(
    ("build", "data"),
    [
        (webapp_form, {"nodeInfoList": nodes(3_000, "LIST", choices(500))}),
        (webapp_form, {"nodeInfoList": nodes(3_000, "LIST", json.loads(choices(500)))}),
        (webapp_form, {"nodeInfoList": nodes(3_000, "LIST", json.dumps(ENTRIES))}),
        (webapp_form, {"nodeInfoList": nodes(3_000, "LIST", ENTRIES)}),
        (webapp_form, {"nodeInfoList": nodes(3_000, "LIST", json.dumps([["a"] * 1_000]))}),
        (webapp_form, {"nodeInfoList": nodes(3_000, "INT", json.dumps([[1] * 1_000]))}),
        (webapp_form, {"nodeInfoList": nodes(3_000, "INT", "[" * 60_000)}),
        (webapp_form, {"nodeInfoList": nodes(3_000, "STRING", None, description="字" * 1_000)}),
        (webapp_form, {"nodeInfoList": nodes(50_000, "STRING", None)}),
        (webapp_form, {"nodeInfoList": nodes(1_000, "LIST", choices(500)), **TEXTS}),
        (webapp_form, {"nodeInfoList": COLLIDING}),
        (workflow_form, SIX_THOUSAND_INPUTS),
        (workflow_form, json.dumps(SIX_THOUSAND_INPUTS)),
    ],
)
def test_a_hostile_form_is_bounded_in_size_and_in_cpu_time(
    build: Callable[[str, Any], Form], data: Any
) -> None:
    form = build("1", data)

    assert len(form["nodeInfoList"]) <= MAX_FIELDS
    assert sum(options_of(form)) <= MAX_FORM_CHOICES
    assert len(json.dumps(form, ensure_ascii=False).encode()) < MAX_BYTES
    # A hundred ordinary fields take about 2 ms; before there were bounds, some of these took seconds.
    assert cpu_seconds(build, data) < 40 * cpu_seconds(webapp_form, {"nodeInfoList": TEN_FIELDS * 10})


def cpu_seconds(build: Callable[[str, Any], Form], data: Any) -> float:
    """The best of three, since the machine may be busy."""
    times = []
    for _ in range(3):
        started = time.process_time()
        build("1", data)
        times.append(time.process_time() - started)
    return min(times)
