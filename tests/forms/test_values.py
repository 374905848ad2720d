"""Values as text, and in the type of their input."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forms.types import InputType
from forms.values import json_size, read_number, sent_value, typed_value
from tests.forms.samples import JSON, input_of, property_of


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("as it is ", "as it is "),
        (8, "8"),
        (-0.7, "-0.7"),
        (2.0, "2"),
        (1e22, "1e+22"),
        (18446744073709551615, "18446744073709551615"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        ([1, "图", {"a": None}], '[1,"图",{"a":null}]'),
        ("\ud83d", "?"),
        (["\ud83d"], '["?"]'),
        ([10**5_000], ""),
    ],
)
def test_a_value_is_sent_as_a_string(value: Any, sent: str) -> None:
    assert sent_value(value) == sent


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("8", 8),
        ("+8", 8),
        ("8.0", 8),
        ("-.5e1", -5),
        ("0.7000000000000001", 0.7000000000000001),
        ("18446744073709551615", 18446744073709551615),
        (7, 7),
        (7.0, 7),
        ("", None),
        (" 8", None),
        ("８", None),
        ("8_0", None),
        ("0x10", None),
        ("1e999", None),
        ("NaN", None),
        (float("inf"), None),
        (True, None),
        (None, None),
        ([8], None),
        ("9" * 301, None),
    ],
)
def test_a_number_is_read_exactly_or_not_at_all(value: Any, number: float | None) -> None:
    assert (read_number(value), type(read_number(value))) == (number, type(number))


@pytest.mark.parametrize(
    ("field_type", "field_data", "saved", "value"),
    [
        ("INT", None, "8", 8),
        ("INT", None, "8.0", 8),
        ("INT", None, "8.5", None),
        ("INT", None, "many", None),
        ("INT", None, "", None),
        ("INT", None, None, None),
        ("INT", None, "18446744073709551615", None),
        ("INT", ["INT", {"max": 5}], "6", 6),
        ("FLOAT", None, "0.7000000000000001", 0.7000000000000001),
        ("FLOAT", None, "1", 1),
        ("FLOAT", None, "NaN", None),
        ("BOOLEAN", None, "true", True),
        ("BOOLEAN", None, "False", False),
        ("BOOLEAN", None, True, True),
        ("BOOLEAN", None, "1", None),
        ("BOOLEAN", None, "", None),
        ("STRING", None, "a cat", "a cat"),
        ("STRING", None, " ", " "),
        ("STRING", None, "", None),
        ("STRING", None, 8, "8"),
        ("INT", "not JSON", "8", "8"),
        ("IMAGE", None, "a.png", "a.png"),
        ("VIDEO", None, "None", "None"),
        ("ZIP", None, "", None),
        ("LIST", [["a", "b"]], "b", "b"),
        ("LIST", [[10, 15]], "10", "10"),
        ("LIST", [["a"]], "gone", "gone"),
        ("LIST", [["", "a"]], "", None),
    ],
)
def test_the_value_is_the_saved_one_in_the_inputs_type(
    field_type: str, field_data: Any, saved: Any, value: Any
) -> None:
    found = input_of(field_type, field_data, fieldValue=saved)["value"]
    is_outside = (field_type, value) == ("INT", 6)

    assert (found, type(found)) == (value, type(value))
    assert property_of(field_type, field_data, saved).get("default") == (None if is_outside else value)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(get_args(InputType)), JSON)
def test_a_typed_value_is_sent_as_the_same_value(kind: InputType, value: Any) -> None:
    typed = typed_value(kind, value)

    assert typed_value(kind, sent_value(typed)) == typed or typed is None


@settings(deadline=None, max_examples=100)
@given(JSON, st.integers(0, 50))
def test_a_size_is_close_to_that_of_the_json_and_stops_at_the_limit(value: Any, limit: int) -> None:
    size, chars = json_size(value, 10**6), len(json.dumps(value, ensure_ascii=False))

    assert chars / 30 <= size <= 5 * chars + 8
    assert (json_size(value, limit) > limit) == (size > limit)
