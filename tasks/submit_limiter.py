"""How many paid calls may start now, and with which account: pure functions of what is stored."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from models import (
    ACTIVE,
    AccountRow,
    AccountState,
    Balance,
    Candidate,
    Claim,
    LimiterRow,
    SubmitView,
    TaskStatus,
)

IN_FLIGHT = frozenset({TaskStatus.SUBMITTING})
IN_FLIGHT_MAX = 64
FIRST_BACKOFF_MS = 1_000
BACKOFF_MAX_MS = 30_000
# From so many unknown outcomes in a row on, although probes pass, one trial is made in this time.
UNAVAILABLE_FROM = 3
UNAVAILABLE_TRIAL_MS = 300_000
# After so many acceptances, or so long after a refusal, one more slot than was seen is tried.
ACCEPTANCES_PER_TRIAL = 20
TRIAL_AFTER_MS = 60_000
PROBE_DELAYS_MS = {
    AccountState.UNAVAILABLE: (1_000, 30_000),
    AccountState.INSUFFICIENT_BALANCE: (5_000, 300_000),
    AccountState.KEY_REFUSED: (5_000, 300_000),
}


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What the settings say about an account; `max_concurrent` 0: its limit is not set."""

    name: str
    base_url: str
    key_fingerprint: str
    max_concurrent: int = 0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class SubmitPlanner:
    """Chooses which waiting tasks start; `max_concurrent` 0: no limit over all accounts."""

    accounts: tuple[AccountLimits, ...]
    max_concurrent: int = 0

    @property
    def base_urls(self) -> list[str | None]:
        """The hosts for which tasks can wait; None: for any."""
        return [None, *dict.fromkeys(account.base_url for account in self.accounts)]

    def capacity(
        self, view: SubmitView, responding: frozenset[str], candidate: Candidate, now_ms: int
    ) -> int:
        """How many tasks like `candidate` could start now."""
        return sum(
            self._free(view, account, candidate.instance_type, account.name in responding, now_ms)
            for account in self._eligible(candidate)
        )

    def choose(
        self, view: SubmitView, responding: frozenset[str], candidates: Sequence[Candidate], now_ms: int
    ) -> list[Claim]:
        """The tasks that start now, in their order, each with the account that is least loaded.

        `responding` names the accounts that RunningHub has answered a short while ago: with any other, one
        call at a time is the trial, so that an outage costs one unknown outcome and not the queue.
        """
        claims: list[Claim] = []
        for candidate in sorted(candidates, key=lambda candidate: (candidate.turn, candidate.seq)):
            free = [
                account
                for account in self._eligible(candidate)
                if self._free(view, account, candidate.instance_type, account.name in responding, now_ms) > 0
            ]
            if not free:
                continue
            account = min(free, key=lambda account: view.count(ACTIVE, account.name) / account.weight)
            claims.append(Claim(candidate, account.name, account.key_fingerprint))
            view = _with_one_more(view, account.name, candidate.instance_type)
        return claims

    def _eligible(self, candidate: Candidate) -> list[AccountLimits]:
        return [a for a in self.accounts if candidate.base_url in (None, a.base_url)]

    def _free(
        self, view: SubmitView, account: AccountLimits, instance_type: str, is_responding: bool, now_ms: int
    ) -> int:
        row, limiter = view.account(account.name), view.limiter(account.name, instance_type)
        if row.is_probe_needed or _is_ahead(row.paused_until_ms, now_ms, UNAVAILABLE_TRIAL_MS):
            return 0
        if _is_ahead(limiter.blocked_until_ms, now_ms, BACKOFF_MAX_MS):
            return 0
        in_flight = view.count(IN_FLIGHT, account.name)
        free = IN_FLIGHT_MAX - in_flight
        if row.failures or row.unknown_outcomes or not is_responding:
            free = 1 - in_flight
        if limiter.rejections:
            free = min(free, 1 - view.count(IN_FLIGHT, account.name, instance_type))
        if self.max_concurrent:
            free = min(free, self.max_concurrent - view.count(ACTIVE))
        free = min(free, _slots_seen(view, limiter, now_ms))
        limit = known_limit(account, row)
        if limit:
            return min(free, limit - view.count(ACTIVE, account.name) - row.running_elsewhere)
        return min(free, limiter.in_flight_max - view.count(IN_FLIGHT, account.name, instance_type))


def known_limit(account: AccountLimits, row: AccountRow) -> int:
    """How many tasks an account runs at once, from the settings or from RunningHub; 0: not known."""
    return account.max_concurrent or row.concurrent_limit or 0


def _slots_seen(view: SubmitView, limiter: LimiterRow, now_ms: int) -> int:
    """Past a refusal, no more tasks than ran then; now and then one more is tried."""
    if limiter.slots is None:
        return IN_FLIGHT_MAX
    is_trial_due = (
        limiter.acceptances >= ACCEPTANCES_PER_TRIAL or abs(now_ms - limiter.failed_ms) > TRIAL_AFTER_MS
    )
    return limiter.slots + is_trial_due - view.count(ACTIVE, limiter.account, limiter.instance_type)


def _with_one_more(view: SubmitView, account: str, instance_type: str) -> SubmitView:
    key = (TaskStatus.SUBMITTING, account, instance_type)
    return replace(view, active={**view.active, key: view.active.get(key, 0) + 1})


def _is_ahead(until_ms: int, now_ms: int, longest_ms: int) -> bool:
    """Whether `until_ms` is still to come; further away than any pause means that the clock stepped back."""
    return now_ms < until_ms <= now_ms + 2 * longest_ms


def _backoff_ms(steps: int, longest_ms: int = BACKOFF_MAX_MS) -> int:
    """1 s, 2 s, 4 s … with jitter."""
    delay_ms = min(longest_ms, FIRST_BACKOFF_MS << min(max(steps - 1, 0), 20))
    return int(delay_ms * random.uniform(0.8, 1.2))


# What the outcome of a paid call does to its account and limiter. `began_ms` is when the call was made:
# one failure counts once, however many calls were in flight.


def after_accepted(account: AccountRow, limiter: LimiterRow, active: int) -> tuple[AccountRow, LimiterRow]:
    """`active`: the tasks of this account and instance type, with this one."""
    slots = limiter.slots if limiter.slots is None else max(limiter.slots, active)
    has_grown = slots != limiter.slots
    return answered(account), replace(
        limiter,
        in_flight_max=min(IN_FLIGHT_MAX, limiter.in_flight_max + 1),
        slots=slots,
        acceptances=0 if has_grown else min(limiter.acceptances + 1, ACCEPTANCES_PER_TRIAL),
        rejections=0,
        blocked_until_ms=0,
    )


def answered(account: AccountRow) -> AccountRow:
    """A paid call was answered, whatever the answer: the account works."""
    if not (account.failures or account.unknown_outcomes or account.state is not AccountState.OK):
        return account
    return replace(recovered(account), failures=0, unknown_outcomes=0, paused_until_ms=0)


def after_full(limiter: LimiterRow, active: int, began_ms: int, now_ms: int) -> LimiterRow:
    """`active`: the tasks of this account and instance type, without the refused one."""
    if began_ms < limiter.failed_ms <= now_ms:
        return limiter
    rejections = limiter.rejections + 1
    return replace(
        limiter,
        in_flight_max=max(1, limiter.in_flight_max // 2),
        slots=active or None,
        acceptances=0,
        rejections=rejections,
        blocked_until_ms=now_ms + _backoff_ms(rejections),
        failed_ms=now_ms,
    )


def after_slot_freed(limiter: LimiterRow) -> LimiterRow:
    """A task ended, or the account's own count fell: the next call is the trial."""
    return replace(limiter, blocked_until_ms=0)


def after_slot_freed_elsewhere(limiter: LimiterRow) -> LimiterRow:
    """A task that was started outside this service ended: what was seen at a refusal holds no longer."""
    return replace(limiter, blocked_until_ms=0, slots=None)


def after_not_sent(account: AccountRow, message: str, began_ms: int, now_ms: int) -> AccountRow:
    if began_ms < account.failed_ms <= now_ms:
        return account
    failures = account.failures + 1
    return replace(
        _paused(account, AccountState.UNAVAILABLE, message, now_ms),
        failures=failures,
        paused_until_ms=now_ms + _backoff_ms(failures),
        failed_ms=now_ms,
    )


def after_outcome_unknown(account: AccountRow, message: str, began_ms: int, now_ms: int) -> AccountRow:
    paused = replace(
        _paused(account, AccountState.UNAVAILABLE, message, now_ms),
        is_probe_needed=True,
        next_probe_ms=now_ms,
        probes=0,
    )
    if began_ms < account.failed_ms <= now_ms:
        return paused
    unknown = account.unknown_outcomes + 1
    pause_ms = UNAVAILABLE_TRIAL_MS if unknown >= UNAVAILABLE_FROM else _backoff_ms(unknown)
    return replace(paused, unknown_outcomes=unknown, paused_until_ms=now_ms + pause_ms, failed_ms=now_ms)


def after_account_refused(account: AccountRow, state: AccountState, message: str, now_ms: int) -> AccountRow:
    """No balance, or the key was refused: nothing is paid for until a free probe passes."""
    if account.state is state and account.is_probe_needed:
        return account
    return replace(
        _paused(account, state, message, now_ms),
        is_probe_needed=True,
        next_probe_ms=now_ms,
        probes=0,
        failed_ms=now_ms,
    )


def after_probe_failed(account: AccountRow, state: AccountState, message: str, now_ms: int) -> AccountRow:
    """Probes come further and further apart; what a probe found may differ from what began the pause."""
    first_ms, longest_ms = PROBE_DELAYS_MS[state]
    probes = account.probes + 1 if state is account.state else 1
    delay_ms = min(longest_ms, first_ms << min(probes - 1, 20))
    return replace(
        _paused(account, state, message, now_ms),
        is_probe_needed=True,
        probes=probes,
        next_probe_ms=now_ms + int(delay_ms * random.uniform(0.8, 1.2)),
    )


def after_probe_passed(account: AccountRow) -> AccountRow:
    if account.unknown_outcomes >= UNAVAILABLE_FROM:  # only the paid call fails: it stays as it is
        return replace(account, is_probe_needed=False, next_probe_ms=None, probes=0)
    return recovered(account)


def recovered(account: AccountRow) -> AccountRow:
    if account.state is AccountState.OK and not account.is_probe_needed:
        return account
    return replace(
        account,
        state=AccountState.OK,
        message=None,
        since_ms=None,
        is_probe_needed=False,
        next_probe_ms=None,
        probes=0,
        paused_until_ms=account.paused_until_ms if account.unknown_outcomes else 0,
    )


def _paused(account: AccountRow, state: AccountState, message: str, now_ms: int) -> AccountRow:
    since_ms = account.since_ms if account.state is state else now_ms
    return replace(account, state=state, message=message, since_ms=since_ms or now_ms)


def with_balance(account: AccountRow, balance: Balance) -> AccountRow:
    return replace(account, coins=balance.coins, money=balance.money, currency=balance.currency)
