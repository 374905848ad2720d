"""Values as text, and in the type of their input."""

from typing import Any

import pytest

from forms.values import sent_value


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
def test_a_value_goes_up_as_a_string(value: Any, sent: str) -> None:
    assert sent_value(value) == sent
