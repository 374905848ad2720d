"""Which waiting tasks start, with which account, and what the outcome of a paid call does to both."""

from dataclasses import replace
from typing import Any

import pytest

from models import (
    AccountRow,
    AccountState,
    Balance,
    Candidate,
    LimiterRow,
    SubmitView,
    TaskStatus,
)
from tasks import submit_limiter
from tasks.submit_limiter import IN_FLIGHT_MAX, AccountLimits, SubmitPlanner

NOW = 1_800_000_000_000
CN, AI = "https://cn.test", "https://ai.test"
ALL = frozenset({"a", "b"})


def account(name: str = "a", base_url: str = CN, **values: Any) -> AccountLimits:
    return AccountLimits(name, base_url, f"key of {name}", **values)


def view(
    *rows: AccountRow | LimiterRow, active: dict[tuple[TaskStatus, str, str], int] | None = None
) -> SubmitView:
    accounts = {row.name: row for row in rows if isinstance(row, AccountRow)}
    limiters = {(row.account, row.instance_type): row for row in rows if isinstance(row, LimiterRow)}
    return SubmitView(accounts, limiters, active or {})


def waiting(count: int, *, base_url: str | None = None, instance_type: str = "default") -> list[Candidate]:
    return [Candidate(seq, seq, base_url, instance_type) for seq in range(count)]


def started(
    planner: SubmitPlanner,
    seen: SubmitView,
    candidates: list[Candidate],
    responding: frozenset[str] = ALL,
    now_ms: int = NOW,
) -> list[tuple[int, str]]:
    """The seq and account of each task that starts."""
    claims = planner.choose(seen, responding, candidates, now_ms)
    capacity = planner.capacity(seen, responding, candidates[0], now_ms)
    assert (
        capacity >= sum(claim.candidate.base_url == candidates[0].base_url for claim in claims)
        or len({c.instance_type for c in candidates}) > 1
    )
    return [(claim.candidate.seq, claim.account) for claim in claims]


ONE = SubmitPlanner((account(max_concurrent=3),))
UNLIMITED = SubmitPlanner((account(),))


def test_where_the_limit_is_known_all_free_slots_are_used_at_once() -> None:
    assert started(ONE, view(), waiting(9)) == [(0, "a"), (1, "a"), (2, "a")]
    running = view(active={(TaskStatus.RUNNING, "a", "default"): 2})
    assert started(ONE, running, waiting(9)) == [(0, "a")]


def test_a_limit_that_runninghub_reports_counts_like_one_of_the_settings() -> None:
    assert len(started(UNLIMITED, view(AccountRow("a", concurrent_limit=5)), waiting(9))) == 5


def test_slots_that_are_used_outside_this_service_are_not_free() -> None:
    assert started(ONE, view(AccountRow("a", running_elsewhere=2)), waiting(9)) == [(0, "a")]


def test_where_the_limit_is_not_known_calls_in_flight_double_with_each_round() -> None:
    row, limiter = AccountRow("a"), LimiterRow("a", "default")
    for expected in (1, 2, 4, 8):
        assert len(started(UNLIMITED, view(row, limiter), waiting(50))) == expected
        for _ in range(expected):
            row, limiter = submit_limiter.after_accepted(row, limiter, active=1)


def test_calls_in_flight_have_an_end() -> None:
    limiter = LimiterRow("a", "default", in_flight_max=IN_FLIGHT_MAX)
    assert len(started(UNLIMITED, view(limiter), waiting(100))) == IN_FLIGHT_MAX


def test_an_account_that_has_not_answered_lately_gets_one_call_as_the_trial() -> None:
    assert started(ONE, view(), waiting(9), frozenset()) == [(0, "a")]
    in_flight = view(active={(TaskStatus.SUBMITTING, "a", "default"): 1})
    assert started(ONE, in_flight, waiting(9), frozenset()) == []


def test_a_full_instance_type_does_not_block_others() -> None:
    full = submit_limiter.after_full(LimiterRow("a", "ultra"), 0, NOW, NOW)
    candidates = [*waiting(2, instance_type="ultra"), Candidate(7, 7, None, "default")]
    assert started(ONE, view(full), candidates) == [(7, "a")]


def test_a_backoff_grows_to_its_limit_and_ends_with_a_trial() -> None:
    limiter, now_ms = LimiterRow("a", "default"), NOW
    for seconds in (1, 2, 4, 8, 16, 30, 30):
        limiter = submit_limiter.after_full(limiter, 0, now_ms, now_ms)
        assert started(ONE, view(limiter), waiting(9), now_ms=now_ms + int(seconds * 790)) == []
        now_ms += int(seconds * 1210)
        assert started(ONE, view(limiter), waiting(9), now_ms=now_ms) == [(0, "a")]


def test_one_failure_lengthens_the_backoff_once_however_many_calls_it_met() -> None:
    limiter = LimiterRow("a", "default")
    for _ in range(20):
        limiter = submit_limiter.after_full(limiter, 0, NOW - 300, NOW)
    assert limiter.rejections == 1
    row = AccountRow("a")
    for _ in range(20):
        row = submit_limiter.after_not_sent(row, "unreachable", NOW - 300, NOW)
    assert row.failures == 1


def test_a_clock_that_steps_back_does_not_lengthen_a_pause() -> None:
    limiter = submit_limiter.after_full(LimiterRow("a", "default"), 0, NOW, NOW)
    assert started(ONE, view(limiter), waiting(1), now_ms=NOW - 3_600_000) == [(0, "a")]


def test_past_a_refusal_no_more_tasks_start_than_ran_then_until_one_more_is_tried() -> None:
    row, limiter = AccountRow("a"), LimiterRow("a", "default", in_flight_max=8)
    limiter = submit_limiter.after_slot_freed(submit_limiter.after_full(limiter, 2, NOW, NOW))
    busy = {(TaskStatus.RUNNING, "a", "default"): 2}
    assert started(UNLIMITED, view(limiter, active=busy), waiting(9)) == []
    assert len(started(UNLIMITED, view(limiter), waiting(9))) == 1  # the trial after a refusal
    for _ in range(submit_limiter.ACCEPTANCES_PER_TRIAL):
        row, limiter = submit_limiter.after_accepted(row, limiter, active=2)
    assert len(started(UNLIMITED, view(limiter, active=busy), waiting(9))) == 1
    row, limiter = submit_limiter.after_accepted(row, limiter, active=3)
    assert (limiter.slots, limiter.acceptances) == (3, 0)


def test_a_slot_freed_elsewhere_ends_what_was_seen_at_a_refusal() -> None:
    limiter = submit_limiter.after_full(LimiterRow("a", "default", in_flight_max=8), 2, NOW, NOW)
    freed = submit_limiter.after_slot_freed_elsewhere(limiter)
    assert (freed.slots, freed.blocked_until_ms) == (None, 0)


# Several accounts


def test_a_task_goes_to_the_account_with_the_fewest_running_tasks_for_its_weight() -> None:
    planner = SubmitPlanner((account("a", max_concurrent=9), account("b", max_concurrent=9, weight=2)))
    chosen = [name for _, name in started(planner, view(), waiting(6))]
    assert sorted(chosen) == ["a", "a", "b", "b", "b", "b"]


def test_a_task_goes_only_to_accounts_on_its_host() -> None:
    planner = SubmitPlanner((account("a", CN, max_concurrent=2), account("b", AI, max_concurrent=2)))
    assert started(planner, view(), waiting(5, base_url=AI)) == [(0, "b"), (1, "b")]
    assert started(planner, view(), waiting(5, base_url="https://none.test")) == []
    assert planner.base_urls == [None, CN, AI]


@pytest.mark.parametrize("state", [AccountState.INSUFFICIENT_BALANCE, AccountState.KEY_REFUSED])
def test_a_paused_account_starts_nothing_and_another_continues(state: AccountState) -> None:
    planner = SubmitPlanner((account("a", max_concurrent=2), account("b", max_concurrent=2)))
    paused = submit_limiter.after_account_refused(AccountRow("a"), state, "why", NOW)
    assert started(planner, view(paused), waiting(5)) == [(0, "b"), (1, "b")]


def test_no_more_tasks_run_over_all_accounts_than_the_setting_allows() -> None:
    planner = SubmitPlanner(
        (account("a", max_concurrent=9), account("b", max_concurrent=9)), max_concurrent=3
    )
    assert len(started(planner, view(), waiting(9))) == 3


# Pauses and probes


def test_an_unknown_outcome_pauses_the_account_until_a_probe_was_answered() -> None:
    row = submit_limiter.after_outcome_unknown(AccountRow("a"), "late", NOW, NOW)
    assert (row.state, row.is_probe_needed, row.next_probe_ms) == (AccountState.UNAVAILABLE, True, NOW)
    later = NOW + 3_600_000
    assert started(ONE, view(row), waiting(9), now_ms=later) == []
    passed = submit_limiter.after_probe_passed(row)
    assert passed.state is AccountState.OK
    assert started(ONE, view(passed), waiting(9), now_ms=later) == [(0, "a")]


def test_from_the_third_unknown_outcome_on_one_trial_is_made_in_five_minutes() -> None:
    row, now_ms = AccountRow("a"), NOW
    for _ in range(3):
        row = submit_limiter.after_outcome_unknown(row, "late", now_ms, now_ms)
        row = submit_limiter.after_probe_passed(row)
        now_ms = row.paused_until_ms + 1
    assert row.state is AccountState.UNAVAILABLE
    assert row.paused_until_ms - row.failed_ms == 300_000
    assert started(ONE, view(row), waiting(9), now_ms=row.failed_ms + 299_000) == []
    assert started(ONE, view(row), waiting(9), now_ms=row.failed_ms + 300_001) == [(0, "a")]


def test_an_accepted_call_ends_every_pause() -> None:
    row = submit_limiter.after_outcome_unknown(AccountRow("a"), "late", NOW, NOW)
    row, _ = submit_limiter.after_accepted(row, LimiterRow("a", "default"), active=1)
    assert row == AccountRow("a", failed_ms=NOW)


@pytest.mark.parametrize(
    ("state", "delays_s"),
    [
        (AccountState.UNAVAILABLE, [1, 2, 4, 8, 16, 30, 30]),
        (AccountState.KEY_REFUSED, [5, 10, 20, 40, 80, 160, 300, 300]),
        (AccountState.INSUFFICIENT_BALANCE, [5, 10, 20, 40, 80, 160, 300, 300]),
    ],
)
def test_probes_come_further_and_further_apart(state: AccountState, delays_s: list[int]) -> None:
    row = replace(AccountRow("a"), state=state)
    for seconds in delays_s:
        row = submit_limiter.after_probe_failed(row, state, "why", NOW)
        assert row.next_probe_ms is not None
        assert 0.79 * seconds <= (row.next_probe_ms - NOW) / 1000 <= 1.21 * seconds


def test_a_second_refusal_during_a_pause_does_not_start_it_again() -> None:
    first = submit_limiter.after_account_refused(AccountRow("a"), AccountState.KEY_REFUSED, "why", NOW)
    failed = submit_limiter.after_probe_failed(first, AccountState.KEY_REFUSED, "why", NOW)
    again = submit_limiter.after_account_refused(failed, AccountState.KEY_REFUSED, "why", NOW + 9)
    assert again == failed


def test_a_balance_is_kept_as_runninghub_spells_it() -> None:
    row = submit_limiter.with_balance(AccountRow("a"), Balance("5.0", None, "CNY"))
    assert (row.coins, row.money, row.currency) == ("5.0", None, "CNY")
