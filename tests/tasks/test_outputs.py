"""Outputs for their readers: what RunningHub's results become, links, kept bytes and relays."""

from typing import Any

import pytest

from models import MAX_TEXT_BYTES, NewOutput, OutputState
from tasks.outputs import new_outputs

pytestmark = pytest.mark.anyio

S = OutputState


# What RunningHub returns


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            {"fileUrl": "https://x/y.png", "fileType": "png", "nodeId": "9", "taskCostTime": "27"},
            NewOutput(0, S.KEEPING, "image/png", "https://x/y.png", "png", "9"),
        ),
        (
            {"url": "https://x/y.mp4", "outputType": "mp4", "nodeId": "9", "text": None},
            NewOutput(0, S.KEEPING, "video/mp4", "https://x/y.mp4", "mp4", "9"),
        ),
        (
            {"url": None, "outputType": "txt", "nodeId": "9", "text": "a cat"},
            NewOutput(0, S.KEPT, "text/plain", None, "txt", "9", "a cat"),
        ),
        ({"fileUrl": 5, "fileType": None}, NewOutput(0, S.LOST, "text/plain")),
        ({"text": "x" * (MAX_TEXT_BYTES + 1)}, NewOutput(0, S.LOST, "text/plain")),
    ],
)
def test_a_result_becomes_an_output(result: dict[str, Any], expected: NewOutput) -> None:
    assert new_outputs([result], is_kept=True) == (expected,)


def test_an_output_has_the_place_of_its_result() -> None:
    results = [{"fileUrl": "https://x/0.png"}, "no object", {"fileUrl": "https://x/2.png"}]
    assert [output.n for output in new_outputs(results, is_kept=True)] == [0, 2]


def test_where_outputs_are_not_kept_only_texts_are() -> None:
    results = [{"fileUrl": "https://x/0.png"}, {"text": "a cat"}]
    assert [output.state for output in new_outputs(results, is_kept=False)] == [S.NOT_KEPT, S.KEPT]


def test_half_a_surrogate_pair_in_a_text_is_replaced() -> None:
    (output,) = new_outputs([{"text": "a \ud83d"}], is_kept=True)
    assert output.text == "a ?"
