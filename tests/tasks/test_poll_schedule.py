"""When a task is polled again: within bounds whatever is known, and where a finish is likely."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import TaskStatus
from tasks.poll_schedule import MAX_SLOWDOWN, SLOWEST_S, PollSchedule, expected_seconds, next_delay_s
from tests.conftest import Clock, Core, MakeCore, at_runninghub
from tests.poll_simulation import polled_tasks

pytestmark = pytest.mark.anyio

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
    slowdown=st.floats(1, MAX_SLOWDOWN),
)
def test_a_delay_is_never_nothing_and_never_longer_than_the_longest(
    age_s: float, run_times: list[float], first_s: float, longest_s: float, slowdown: float
) -> None:
    wait_s = next_delay_s(age_s, run_times, first_s=first_s, longest_s=longest_s, slowdown=slowdown)
    longest_s = max(longest_s, min(longest_s * slowdown, SLOWEST_S))
    assert 0.95 * min(first_s / 8, longest_s) <= wait_s <= longest_s


def delay_s(age_s: float, run_times: list[float]) -> float:
    return next_delay_s(age_s, run_times, first_s=2, longest_s=15)


def test_without_earlier_run_times_delays_grow_with_age() -> None:
    assert 1.9 <= delay_s(0, []) <= 2.1
    assert 4.3 <= delay_s(2.1, []) <= 4.7
    assert 1.8 <= delay_s(6.5, []) <= 2.1
    assert 3.2 <= delay_s(20, []) <= 3.4
    assert 7.7 <= delay_s(50, []) <= 8.3
    assert 14.2 <= delay_s(1000, []) <= 15


@pytest.mark.parametrize("submitted_within_s", [0, 1, 10, 20])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_tasks_of_a_new_app_are_detected_soon_with_nine_polls_at_most(
    submitted_within_s: float, seed: int
) -> None:
    """2,000 of them at once, of 5 to 25 s; what the first ones took says nothing about the others."""
    random.seed(seed)
    detection = await polled_tasks(2_000, (5, 25), submitted_within_s)
    assert detection.lag(50) <= 10
    assert detection.lag(95) <= 25
    assert detection.most_polls <= 9


def test_delays_are_short_where_a_finish_is_likely_and_long_before() -> None:
    run_times = [60.0, 62.0, 65.0]
    assert delay_s(20, run_times) >= 14.2
    assert delay_s(61, run_times) <= 6.1
    assert delay_s(120, run_times) >= 14.2


def test_no_delay_goes_far_past_the_earliest_likely_finish() -> None:
    assert 40 + delay_s(40, [50.0, 52.0]) <= 48.5


async def test_polls_are_slowed_down_while_they_lag_behind_and_recover_afterwards(core: Core) -> None:
    schedule = PollSchedule(core.run_times, core.settings, core.database.clock)
    schedule.adapt(0)
    assert schedule.slowdown == 1
    for _ in range(50):
        schedule.adapt(0.1)
    assert schedule.slowdown == MAX_SLOWDOWN
    for _ in range(60):
        schedule.adapt(-1)
    assert schedule.slowdown == 1


async def test_a_tasks_age_counts_from_its_start_where_that_was_seen(core: Core, clock: Clock) -> None:
    schedule = PollSchedule(core.run_times, core.settings, core.database.clock)
    task = await at_runninghub(core.database)
    clock.go_on(20)
    assert 3.2 <= (await schedule.next_poll_ms(task) - clock.now_ms) / 1000 <= 3.4
    queued = task._replace(accepted_ms=clock.now_ms)
    next_poll_ms = await schedule.next_poll_ms(queued, TaskStatus.QUEUED)
    assert 1.9 <= (next_poll_ms - clock.now_ms) / 1000 <= 2.1


async def test_with_webhooks_polls_are_only_the_safety_net(make_core: MakeCore, clock: Clock) -> None:
    async with make_core(public_url="https://here.example") as core:
        schedule = PollSchedule(core.run_times, core.settings, core.database.clock)
        next_poll_ms = await schedule.next_poll_ms(await at_runninghub(core.database))
    assert (next_poll_ms - clock.now_ms) / 1000 >= 14.2


def test_delays_are_slowed_down_past_the_longest_but_not_past_a_minute() -> None:
    assert 7.6 <= next_delay_s(0, [], first_s=2, longest_s=15, slowdown=4) <= 8.4
    assert 28.5 <= next_delay_s(1000, [], first_s=2, longest_s=15, slowdown=2) <= 30
    assert 57 <= next_delay_s(1000, [], first_s=2, longest_s=15, slowdown=64) <= SLOWEST_S
    assert 85 <= next_delay_s(1000, [], first_s=2, longest_s=90, slowdown=64) <= 90


def test_where_a_finish_is_likely_delays_are_slowed_down_last() -> None:
    run_times = [60.0, 62.0, 65.0]
    assert next_delay_s(61, run_times, first_s=2, longest_s=15, slowdown=4) <= 6.1
    assert next_delay_s(61, run_times, first_s=2, longest_s=15, slowdown=8) >= 11
    assert 40 + next_delay_s(40, run_times, first_s=2, longest_s=15, slowdown=64) <= 58.5
