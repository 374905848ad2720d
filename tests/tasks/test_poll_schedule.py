"""When a task is asked about again: within bounds whatever is known, and where a finish is likely."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.poll_schedule import MOST_STRETCH, MOST_STRETCHED_S, Pace, expected_seconds, next_wait_s

SECONDS = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("run_times", "expected"),
    [([], None), ([27.4], 27), ([0.2], 1), ([10, 500, 12], 12), ([10, 13], 12), ([10, 11], 10)],
)
def test_the_expected_time_is_the_usual_one(run_times: list[float], expected: int | None) -> None:
    assert expected_seconds(run_times) == expected


@given(
    age_s=SECONDS,
    run_times=st.lists(SECONDS, max_size=20),
    first_s=st.floats(0.01, 100),
    longest_s=st.floats(0.01, 100),
    stretch=st.floats(1, MOST_STRETCH),
)
def test_a_wait_is_never_nothing_and_never_longer_than_the_longest(
    age_s: float, run_times: list[float], first_s: float, longest_s: float, stretch: float
) -> None:
    wait_s = next_wait_s(age_s, run_times, first_s=first_s, longest_s=longest_s, stretch=stretch)
    longest_s = max(longest_s, min(longest_s * stretch, MOST_STRETCHED_S))
    assert 0.95 * min(first_s / 8, longest_s) <= wait_s <= longest_s


def wait_s(age_s: float, run_times: list[float]) -> float:
    return next_wait_s(age_s, run_times, first_s=2, longest_s=15)


def test_without_earlier_run_times_waits_grow_with_age() -> None:
    assert 1.9 <= wait_s(0, []) <= 2.1
    assert 3.8 <= wait_s(20, []) <= 4.2
    assert 14.2 <= wait_s(1000, []) <= 15


def test_waits_are_short_where_a_finish_is_likely_and_long_before() -> None:
    run_times = [60.0, 62.0, 65.0]
    assert wait_s(20, run_times) >= 14.2
    assert wait_s(61, run_times) <= 6.1
    assert wait_s(120, run_times) >= 14.2


def test_no_wait_goes_far_past_the_earliest_likely_finish() -> None:
    assert 40 + wait_s(40, [50.0, 52.0]) <= 48.5


def test_the_pace_stretches_waits_while_looks_are_late_and_lets_go_after() -> None:
    pace = Pace()
    pace.adapt(0)
    assert pace.stretch == 1
    for _ in range(50):
        pace.adapt(0.1)
    assert pace.stretch == MOST_STRETCH
    for _ in range(60):
        pace.adapt(-1)
    assert pace.stretch == 1


def test_waits_are_stretched_past_the_longest_but_not_past_a_minute() -> None:
    assert 7.6 <= next_wait_s(0, [], first_s=2, longest_s=15, stretch=4) <= 8.4
    assert 28.5 <= next_wait_s(1000, [], first_s=2, longest_s=15, stretch=2) <= 30
    assert 57 <= next_wait_s(1000, [], first_s=2, longest_s=15, stretch=64) <= MOST_STRETCHED_S
    assert 85 <= next_wait_s(1000, [], first_s=2, longest_s=90, stretch=64) <= 90


def test_where_a_finish_is_likely_waits_are_stretched_last() -> None:
    run_times = [60.0, 62.0, 65.0]
    assert next_wait_s(61, run_times, first_s=2, longest_s=15, stretch=4) <= 6.1
    assert next_wait_s(61, run_times, first_s=2, longest_s=15, stretch=8) >= 11
    assert 40 + next_wait_s(40, run_times, first_s=2, longest_s=15, stretch=64) <= 58.5
