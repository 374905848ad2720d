"""Watches the accounts with free calls: probes paused ones, reads limits, and detects freed slots."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from database import Database
from errors import AppError, InvalidRequest
from models import (
    ACTIVE,
    DEFAULT_INSTANCE_TYPE,
    AccountRow,
    AccountState,
    Hold,
    SubmitView,
    Task,
    TaskStatus,
    WaitCode,
)
from runninghub.accounts import Account, Accounts
from runninghub.codes import Refusal
from runninghub.replies import (
    Reply,
    balance_of,
    balance_text,
    count_of,
    has_balance,
    has_grown,
    json_object,
)
from tasks import submit_limiter
from transitions import Event, KeyRefusedAgain, Released, TooExpensive
from webapp_service import WebappService

log = logging.getLogger(__name__)

TICK_S = 0.5
SHORTEST_TICK_S = 0.1
# While tasks wait, an account's count of running tasks is read so often: a part of a usual run time.
SHARE_OF_RUN_TIME = 0.1
LONGEST_DELAY_S = 10.0
LIMIT_EVERY_S = 300.0
BALANCE_EVERY_S = (5.0, 300.0)
HELD_TASKS = 100
POLLS_PER_CHECK = 8
IN_FLIGHT = frozenset({TaskStatus.SUBMITTING})
WAIT_CODES = {
    AccountState.INSUFFICIENT_BALANCE: WaitCode.INSUFFICIENT_BALANCE,
    AccountState.KEY_REFUSED: WaitCode.KEY_REFUSED,
    AccountState.UNAVAILABLE: WaitCode.RUNNINGHUB_UNAVAILABLE,
}
STATES = {
    Refusal.KEY_REFUSED: AccountState.KEY_REFUSED,
    Refusal.NO_BALANCE: AccountState.INSUFFICIENT_BALANCE,
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a task is not running; times in milliseconds since 1970, `next_try_ms` None: not known."""

    code: WaitCode
    message: str
    since_ms: int | None
    next_try_ms: int | None = None


class AccountMonitor:
    """One loop for each account. `on_freed` is called when waiting tasks may start or polls are due."""

    def __init__(
        self,
        database: Database,
        webapps: WebappService,
        accounts: Accounts,
        planner: submit_limiter.SubmitPlanner,
        *,
        lease_ms: int,
    ) -> None:
        self._database = database
        self._webapps = webapps
        self._accounts = accounts
        self._planner = planner
        self._lease_ms = lease_ms
        self._woken = {account.name: asyncio.Event() for account in accounts.all}
        self._refused: dict[str, dict[str, AppError]] = {account.name: {} for account in accounts.all}
        self._not_probed = set(self._woken)
        self._delay_s = dict.fromkeys(self._woken, 0.0)
        self._limit_due = dict.fromkeys(self._woken, 0.0)
        self._balance_due = dict.fromkeys(self._woken, 0.0)
        self._balance_delay_s = dict.fromkeys(self._woken, BALANCE_EVERY_S[0])
        self._last_running: dict[str, int] = {}
        self._typical_run_s = 2.5
        self.view = SubmitView({}, {}, {})
        self.on_freed: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Watch all accounts until cancelled."""
        loops = [asyncio.create_task(self._watch(account)) for account in self._accounts.all]
        try:
            await asyncio.gather(*loops)
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def refresh(self) -> None:
        """Read what all workers have stored about the accounts."""
        self.view = await self._database.submit_view()

    def refused_as_full(self, account: str) -> None:
        """A paid call found no slot: the account's limit may have changed."""
        if account in self._limit_due:
            self._limit_due[account] = min(
                self._limit_due[account], asyncio.get_running_loop().time() + LONGEST_DELAY_S
            )

    def refused(self, account: str, task_id: str, problem: AppError) -> None:
        """A paid call was refused for the account's sake, or its outcome is unknown: probe it now."""
        if account in self._refused:
            self._refused[account][task_id] = problem
            self._woken[account].set()

    def run_ended(self, run_seconds: float | None) -> None:
        """A task ended after running so long; detection follows how long tasks usually run."""
        if run_seconds:
            self._typical_run_s += 0.2 * (run_seconds - self._typical_run_s)

    async def _watch(self, account: Account) -> None:
        while True:
            try:
                delay_s = await self._tick(account)
            except AppError as problem:
                delay_s = TICK_S
                log.debug("an account could not be checked", extra={"problem": problem.code})
            except Exception:  # whatever one round met, the next one has to come: the queue depends on it
                delay_s = TICK_S
                log.exception("checking an account failed", extra={"account": account.name})
            await self._pause(account, delay_s)

    async def _pause(self, account: Account, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._woken[account.name].wait()
        except TimeoutError:
            pass
        self._woken[account.name].clear()

    async def _tick(self, account: Account) -> float:
        """One round; returns the seconds until the next one."""
        await self.refresh()
        row, now_ms = self.view.account(account.name), self._database.clock()
        if row.is_probe_needed:
            # A start does not wait for a probe that its predecessor planned, or was making when it ended:
            # the key or the address was perhaps just corrected.
            is_first = account.name in self._not_probed
            if is_first or row.next_probe_ms is None or not now_ms < row.next_probe_ms <= now_ms + 600_000:
                await self._probe(account)
            return SHORTEST_TICK_S
        await self._read_limit(account)
        if await self._database.has_claimable():
            return await self._detect_freed_slots(account)
        await self._release_held(account)
        return TICK_S

    # Probes

    async def _probe(self, account: Account) -> None:
        """Make the free call that ends a pause, or lengthens it."""
        self._not_probed.discard(account.name)
        refused, self._refused[account.name] = self._refused[account.name], {}
        lease_ms = self._database.clock() + self._lease_ms
        row = await self._database.update_account(
            account.name, lambda row: replace(row, next_probe_ms=lease_ms)
        )
        try:
            reply: Reply | None = await self._webapps.probe(account)
            message = reply.msg if reply else ""
        except AppError as problem:
            reply, message = None, problem.message
        state = _state_of(reply, row)
        now_ms = self._database.clock()
        if state is AccountState.OK and reply is not None:
            await self._probe_passed(account, row, reply, refused)
        else:
            await self._database.update_account(
                account.name,
                lambda row: _with_balance(
                    submit_limiter.after_probe_failed(row, state, row.message or message, now_ms), reply
                ),
            )
        await self.refresh()

    async def _probe_passed(
        self, account: Account, row: AccountRow, reply: Reply, refused: dict[str, AppError]
    ) -> None:
        events: dict[str, Event] = {}
        if row.state is AccountState.INSUFFICIENT_BALANCE:
            balance = balance_text(balance_of(json_object(reply.data)))
            events = {task_id: TooExpensive(balance) for task_id in refused}
        elif row.state is AccountState.KEY_REFUSED:
            events = {
                task_id: KeyRefusedAgain({"code": problem.code, "message": problem.message})
                for task_id, problem in refused.items()
            }
        await self._database.update_account(
            account.name,
            lambda row: _with_balance(submit_limiter.after_probe_passed(row), reply),
            events=events,
        )
        log.info("account can be used again", extra={"account": account.name})
        self.on_freed()

    # Limits, freed slots, balances

    async def _read_limit(self, account: Account) -> None:
        now = asyncio.get_running_loop().time()
        if account.max_concurrent or now < self._limit_due[account.name]:
            return
        self._limit_due[account.name] = now + LIMIT_EVERY_S
        try:
            limit = await self._webapps.concurrent_limit(account)
        except AppError:
            self._limit_due[account.name] = now + LONGEST_DELAY_S
            return
        if limit != self.view.account(account.name).concurrent_limit:
            await self._database.update_account(
                account.name, lambda row: replace(row, concurrent_limit=limit)
            )
            self.on_freed()

    async def _detect_freed_slots(self, account: Account) -> float:
        """While tasks wait, the account's own count of running tasks tells of a slot sooner than polls do."""
        usual_s = min(TICK_S, max(SHORTEST_TICK_S, SHARE_OF_RUN_TIME * self._typical_run_s)) * 0.9
        try:
            reply = await self._webapps.probe(account)
        except AppError:
            reply = None
        running = count_of(json_object(reply.data).get("currentTaskCounts")) if reply else None
        if reply is None or reply.code != 0 or running is None:
            self._delay_s[account.name] = min(LONGEST_DELAY_S, 2 * self._delay_s[account.name] or 2 * TICK_S)
            return self._delay_s[account.name] * random.uniform(0.8, 1.2)
        self._delay_s[account.name] = 0.0
        await self._store_running(account, running, reply)
        return usual_s * random.uniform(0.8, 1.2)

    async def _store_running(self, account: Account, running: int, reply: Reply) -> None:
        await self.refresh()
        name, row = account.name, self.view.account(account.name)
        active = self.view.count(ACTIVE, name)
        elsewhere = max(0, running - active)
        with_news = _with_balance(replace(row, running_elsewhere=elsewhere), reply)
        if with_news != row:
            await self._database.update_account(
                name, lambda row: _with_balance(replace(row, running_elsewhere=elsewhere), reply)
            )
        ended = active - self.view.count(IN_FLIGHT, name) - running
        has_fallen = running < self._last_running.get(name, running)
        self._last_running[name] = running
        # Whether a call in flight counts there already is not known: then only a count that fell tells.
        if ended > 0 or has_fallen:
            limit = min(POLLS_PER_CHECK, max(ended, 3))
            await self._database.poll_now(name, limit=limit, lease_ms=self._lease_ms)
        # Only a count that fell ends a backoff: RunningHub may refuse calls although its count has room.
        if elsewhere < row.running_elsewhere:
            await self._database.update_limiters(name, submit_limiter.after_slot_freed_elsewhere)
        elif has_fallen:
            await self._database.update_limiters(name, submit_limiter.after_slot_freed)
        if ended > 0 or has_fallen:
            self.on_freed()

    async def _release_held(self, account: Account) -> None:
        """A task that costs more than its account has waits until the balance has grown."""
        now = asyncio.get_running_loop().time()
        if now < self._balance_due[account.name]:
            return
        held = await self._database.held_tasks(Hold.BALANCE, limit=HELD_TASKS)
        held = [task for task in held if self._accounts.of_task(task) is account]
        self._balance_due[account.name] = now + self._balance_delay_s[account.name]
        self._balance_delay_s[account.name] = min(
            BALANCE_EVERY_S[1], 2 * self._balance_delay_s[account.name] if held else BALANCE_EVERY_S[0]
        )
        if not held:
            return
        data = await self._webapps.account_status(account)
        balance = balance_of(data)
        events: dict[str, Event] = {
            task.id: Released(Hold.BALANCE)
            for task in held
            if has_grown(balance, task.balance_at_refusal or "/")
        }
        if events:
            self._balance_delay_s[account.name] = BALANCE_EVERY_S[0]
            await self._database.update_account(
                account.name, lambda row: submit_limiter.with_balance(row, balance), events=events
            )
            self.on_freed()

    def state_of(self, account: Account) -> AccountState:
        """The account's state for people: `ok` with no free slot is `full`."""
        row = self.view.account(account.name)
        if row.state is not AccountState.OK:
            return row.state
        limit = account.max_concurrent or row.concurrent_limit
        active = self.view.count(ACTIVE, account.name) + row.running_elsewhere
        is_backing_off = self.view.limiter(account.name, DEFAULT_INSTANCE_TYPE).rejections > 0
        return AccountState.FULL if is_backing_off or (limit and active >= limit) else AccountState.OK

    def usable_account(self, base_url: str | None) -> Account:
        """The account for a free call on this host (None: the first account's); one that works, if any.

        Raises RunningHubNotConfigured, and InvalidRequest where no account is on the host.
        """
        base_url = base_url or self._accounts.first.base_url
        on_host = self._accounts.on_host(base_url)
        if not on_host:
            problem = f"No RunningHub account is configured for {base_url[:200]}."
            raise InvalidRequest(problem, errors=[{"loc": ["query", "base_url"], "msg": problem}])
        working = [a for a in on_host if self.view.account(a.name).state is not AccountState.KEY_REFUSED]
        return (working or on_host)[0]

    # What a task waits for

    def waiting(self, task: Task) -> Waiting | None:
        """Why a PENDING task is not running, or that an unfinished one's account is not configured."""
        if task.status in {TaskStatus.QUEUED, TaskStatus.RUNNING}:
            return None if self._accounts.of_task(task) else _account_missing(task)
        if task.status is not TaskStatus.PENDING:
            return None
        if task.hold is not None:
            return _held(task, task.hold)
        eligible = [
            self.view.account(account.name)
            for account in self._accounts.all
            if task.base_url in (None, account.base_url)
        ]
        if not eligible:
            return _account_missing(task)
        paused = [row for row in eligible if row.state is not AccountState.OK]
        if len(paused) == len(eligible):
            return _paused(paused[0], task)
        return self._for_a_slot(task, eligible)

    def _for_a_slot(self, task: Task, eligible: list[AccountRow]) -> Waiting:
        kind = task.instance_type or DEFAULT_INSTANCE_TYPE
        limiters = [self.view.limiter(row.name, kind) for row in eligible if row.state is AccountState.OK]
        if task.queue_position == 1 or all(limiter.rejections for limiter in limiters):
            next_try_ms = min(limiter.blocked_until_ms for limiter in limiters) or None
            message = "All slots of the RunningHub account are in use; the task starts when one is free."
            return Waiting(WaitCode.SLOTS_FULL, message, task.waiting_since_ms, next_try_ms)
        return Waiting(WaitCode.QUEUED, "Other tasks are ahead of this one.", task.waiting_since_ms)


def _state_of(reply: Reply | None, row: AccountRow) -> AccountState:
    """What a probe says about the account; OK: it passed."""
    if reply is None or not reply.is_answer:
        return AccountState.UNAVAILABLE if row.state is AccountState.OK else row.state
    if state := STATES.get(reply.refusal):
        return state
    if row.state is AccountState.KEY_REFUSED and reply.code != 0:
        return row.state
    if row.state is AccountState.INSUFFICIENT_BALANCE:
        is_enough = reply.code == 0 and has_balance(balance_of(json_object(reply.data)))
        return AccountState.OK if is_enough else row.state
    return AccountState.OK


def _with_balance(row: AccountRow, reply: Reply | None) -> AccountRow:
    if reply is None or reply.code != 0:
        return row
    return submit_limiter.with_balance(row, balance_of(json_object(reply.data)))


def _account_missing(task: Task) -> Waiting:
    name = f"`{task.account}`" if task.account else "of the app's host"
    message = f"The RunningHub account {name} is not in the settings."
    return Waiting(WaitCode.ACCOUNT_MISSING, message, task.waiting_since_ms)


HELD = {
    Hold.BALANCE: (
        WaitCode.INSUFFICIENT_BALANCE,
        "The task costs more than the RunningHub account has; it starts when the balance has grown.",
    ),
    Hold.HINT: (
        WaitCode.QUEUED,
        "A webhook reports that the task has run already; RunningHub is asked before it is sent again.",
    ),
    Hold.USER_LIMIT: (
        WaitCode.USER_LIMIT,
        "The user runs as many tasks as allowed; the task starts when one of them has ended.",
    ),
}


def _held(task: Task, hold: Hold) -> Waiting:
    code, message = HELD[hold]
    return Waiting(code, message, task.waiting_since_ms)


def _paused(row: AccountRow, task: Task) -> Waiting:
    message = row.message or "The RunningHub account cannot be used now."
    next_try_ms = row.next_probe_ms if row.is_probe_needed else row.paused_until_ms or None
    return Waiting(WAIT_CODES[row.state], message, row.since_ms or task.waiting_since_ms, next_try_ms)
