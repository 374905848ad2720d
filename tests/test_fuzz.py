"""The fuzzer's shortest run: every example and boundary value of the document, and a hundred odd bodies."""

import pytest

from tests.fuzz import fuzz

pytestmark = pytest.mark.processes


def test_a_short_run_of_the_fuzzer_finds_nothing() -> None:
    assert fuzz(seconds=0)
