"""Plain values that several packages share: `Task`, `TaskStatus`, and what is stored with a task."""

import time
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

Json = Any

# RunningHub's own ids have 19 digits and begin with 1 or 2: ours cannot be mistaken for one of them.
PUBLIC_ID_BASE = 8_000_000_000_000_000_000
# What RunningHub runs a task on that names no instance type.
DEFAULT_INSTANCE_TYPE = "default"


class TaskStatus(StrEnum):
    """The statuses of the HTTP contract; an `is_final` one never changes."""

    PENDING = "PENDING"
    SUBMITTING = "SUBMITTING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SUBMIT_UNKNOWN = "SUBMIT_UNKNOWN"

    @property
    def is_final(self) -> bool:
        return self in FINAL


S = TaskStatus
FINAL = frozenset({S.SUCCESS, S.FAILED, S.CANCELLED})
AT_RUNNINGHUB = frozenset({S.QUEUED, S.RUNNING})
ACTIVE = AT_RUNNINGHUB | {S.SUBMITTING}


class Kind(StrEnum):
    """What a task runs at RunningHub."""

    WEBAPP = "webapp"
    WORKFLOW = "workflow"
    MODEL = "model"


class WaitCode(StrEnum):
    """Why a PENDING task is not running; `waiting.code` of the HTTP contract."""

    QUEUED = "queued"
    SLOTS_FULL = "slots_full"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    KEY_REFUSED = "key_refused"
    RUNNINGHUB_UNAVAILABLE = "runninghub_unavailable"
    USER_LIMIT = "user_limit"
    ACCOUNT_MISSING = "account_missing"


class Hold(StrEnum):
    """What keeps one PENDING task out of the queue; a task without a hold may be claimed."""

    BALANCE = "balance"  # it costs more than its account has; released when the balance has grown
    HINT = "hint"  # a webhook says that it runs already; released when RunningHub does not know that run
    USER_LIMIT = "user_limit"  # its user runs as many tasks as allowed; released when one of them ends


class WebhookFormat(StrEnum):
    """How a task's own webhook address is called."""

    STANDARD = "standard"
    RUNNINGHUB = "runninghub"  # TASK_END, for clients built for RunningHub


class CancelReason(StrEnum):
    """Who cancelled a task."""

    USER = "user"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """The step of the node that a run is at, as RunningHub's WebSocket reports it."""

    value: int
    max: int
    node_id: str | None


class Task(NamedTuple):
    """One row of `tasks`. JSON columns are decoded; `*_ms` are milliseconds since 1970 (UTC).

    `attempt` counts the paid calls: an outcome of an older one changes nothing. `imported_id` is the id of
    an imported row that turned out to be this task's run. `queue_position` is set only on a PENDING task, and
    only where it was read. `is_truncated`: a list has left out `node_info` and `result_data`.

    A tuple, since a list makes hundreds of them: a frozen dataclass of so many members takes ten times as
    long.
    """

    seq: int
    id: str
    status: TaskStatus
    version: int
    created_at: str
    updated_at: str
    kind: Kind
    webapp_id: str | None
    workflow_id: str | None
    model_path: str | None
    node_info: list[dict[str, str]]
    instance_type: str | None
    run_options: dict[str, Json]
    encrypted_password: bytes | None
    base_url: str | None
    account: str | None
    key_fingerprint: str | None
    attempt: int
    owner: str | None
    metadata: dict[str, Json] | None
    webhook_url: str | None
    webhook_format: WebhookFormat
    rerun_of: str | None
    deadline_ms: int | None
    hold: Hold | None
    waiting_since_ms: int | None
    balance_at_refusal: str | None
    key_refusals: int
    runninghub_task_id: str | None
    hinted_task_id: str | None
    result_data: list[Json] | None
    error: dict[str, str] | None
    node_errors: dict[str, str] | None
    cost: dict[str, str | None] | None
    progress: dict[str, Json] | None
    request_digest: str | None
    cancel_reason: CancelReason | None
    is_cancel_confirmed: bool
    accepted_ms: int | None
    running_ms: int | None
    next_poll_ms: int | None
    lost_responses: int
    lost_running_ms: int
    lost_at_ms: int | None
    imported_id: str | None
    queue_position: int | None = None
    is_truncated: bool = False

    @property
    def target(self) -> str | None:
        """The app, workflow or model that it runs; None: an imported task's is not known."""
        return self.webapp_id or self.workflow_id or self.model_path

    @property
    def public_id(self) -> str:
        """The task's id in digits, for clients that expect RunningHub's kind of id."""
        return str(PUBLIC_ID_BASE + self.seq)

    @property
    def is_cancel_due(self) -> bool:
        """Whether a cancel still has to be sent to RunningHub."""
        return self.cancel_reason is not None and not self.is_cancel_confirmed

    @property
    def is_pollable(self) -> bool:
        """Whether RunningHub can be asked about it: an id is known, its own or one from a webhook."""
        return bool(self.runninghub_task_id or self.hinted_task_id) and not self.status.is_final


@dataclass(frozen=True, slots=True)
class NewTask:
    """What a submit stores before anything is paid for. `idempotency_key` is already scoped to its user."""

    id: str
    node_info: list[dict[str, str]]
    webapp_id: str | None = None
    kind: Kind = Kind.WEBAPP
    workflow_id: str | None = None
    model_path: str | None = None
    instance_type: str | None = None
    run_options: dict[str, Json] = field(default_factory=dict)
    encrypted_password: bytes | None = None
    base_url: str | None = None
    owner: str | None = None
    metadata: dict[str, Json] | None = None
    webhook_url: str | None = None
    webhook_format: WebhookFormat = WebhookFormat.STANDARD
    rerun_of: str | None = None
    deadline_ms: int | None = None
    idempotency_key: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True)
class UserLimits:
    """What one user may do; 0: no limit, `None`: not set for this user, so that the setting applies."""

    max_active_tasks: int | None = None
    max_pending_tasks: int | None = None
    tasks_per_day: int | None = None
    coins_per_month: float | None = None
    calls_per_minute: int | None = None

    def with_defaults(self, defaults: "UserLimits") -> "UserLimits":
        own = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(defaults, **own)


NO_LIMITS = UserLimits()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request: the operator (`owner` is None), or a user by name.

    `webapp_ids` None: the user may run every app. `limits` have the settings' defaults in them already.
    """

    owner: str | None = None
    limits: UserLimits = NO_LIMITS
    webapp_ids: frozenset[str] | None = None

    @property
    def is_operator(self) -> bool:
        return self.owner is None

    def may_see(self, owner: str | None) -> bool:
        """Whether a task of this owner exists for the principal."""
        return self.is_operator or self.owner == owner

    def may_run(self, target: str) -> bool:
        """Whether the principal may run this app; a list of apps leaves out workflows that are not in it."""
        return self.webapp_ids is None or target in self.webapp_ids


OPERATOR = Principal()


@dataclass(frozen=True, slots=True)
class User:
    """One row of `users`. `expires_ms` is when the token expires; None: never."""

    name: str
    created_at: str
    expires_ms: int | None
    limits: UserLimits
    webapp_ids: tuple[str, ...] | None


class AccountState(StrEnum):
    """Whether paid calls may be made with an account; FULL is derived from its free slots, never stored."""

    OK = "ok"
    FULL = "full"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    KEY_REFUSED = "key_refused"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class AccountRow:
    """What all workers know about an account; `*_ms` are milliseconds since 1970.

    No paid call is made while `is_probe_needed`, nor before `paused_until_ms`. `failed_ms` is when the last
    failure was counted: calls that had begun before it belong to the same failure.
    """

    name: str
    state: AccountState = AccountState.OK
    message: str | None = None
    since_ms: int | None = None
    is_probe_needed: bool = False
    next_probe_ms: int | None = None
    probes: int = 0
    paused_until_ms: int = 0
    failures: int = 0
    unknown_outcomes: int = 0
    failed_ms: int = 0
    concurrent_limit: int | None = None
    running_elsewhere: int = 0
    coins: str | None = None
    money: str | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class LimiterRow:
    """How many paid calls of one account and instance type may be made.

    `in_flight_max` bounds the calls in flight while the account's limit is not known; `slots` is how many
    tasks ran at the last refusal.
    """

    account: str
    instance_type: str
    in_flight_max: int = 1
    slots: int | None = None
    acceptances: int = 0
    rejections: int = 0
    blocked_until_ms: int = 0
    failed_ms: int = 0


@dataclass(frozen=True, slots=True)
class SubmitView:
    """What decides which waiting tasks may start: the rows above, and how many tasks are active where.

    `active` counts by (status, account, instance type).
    """

    accounts: dict[str, AccountRow]
    limiters: dict[tuple[str, str], LimiterRow]
    active: dict[tuple[TaskStatus, str, str], int]

    def account(self, name: str) -> AccountRow:
        return self.accounts.get(name) or AccountRow(name)

    def limiter(self, account: str, instance_type: str) -> LimiterRow:
        return self.limiters.get((account, instance_type)) or LimiterRow(account, instance_type)

    def count(
        self, statuses: frozenset[TaskStatus], account: str | None = None, instance_type: str | None = None
    ) -> int:
        """How many tasks have one of these statuses, at this account and of this instance type."""
        return sum(
            n
            for (status, name, kind), n in self.active.items()
            if status in statuses and account in (None, name) and instance_type in (None, kind)
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A waiting task that could be claimed."""

    seq: int
    turn: int
    base_url: str | None
    instance_type: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A waiting task and the account that it is sent with."""

    candidate: Candidate
    account: str
    key_fingerprint: str


@dataclass(frozen=True, slots=True)
class Balance:
    """What accountStatus says an account has; decimals as text, `None` where it has no such balance."""

    coins: str | None = None
    money: str | None = None
    currency: str | None = None


def utc_now_ms() -> int:
    """Milliseconds since 1970; the one clock of all due times."""
    return time.time_ns() // 1_000_000


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(time: datetime) -> int:
    """Since 1970; a part of one is dropped: rounded up, the last moment of the calendar would not exist."""
    return (time - EPOCH) // timedelta(milliseconds=1)


def rfc3339(ms: int) -> str:
    """`2026-11-23T12:00:00.123Z`."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# A text result of up to this size is in the Task itself.
MAX_TEXT_BYTES = 64 * 1024


class OutputState(StrEnum):
    """What became of a result file; `state` in the Task's `outputs` of the HTTP contract."""

    KEEPING = "KEEPING"
    KEPT = "KEPT"
    TOO_LARGE = "TOO_LARGE"
    LOST = "LOST"
    DELETED = "DELETED"
    NOT_KEPT = "NOT_KEPT"


@dataclass(frozen=True, slots=True)
class NewOutput:
    """A result as RunningHub returned it; `n` is its place in `result_data`.

    It has a `source_url`, or a `text` (of any length) that needs no copy, or neither: then it is LOST.
    """

    n: int
    state: OutputState
    media_type: str
    source_url: str | None = None
    file_type: str | None = None
    node_id: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """One row of `outputs`; `expires_ms` is when RunningHub's link stops working.

    `storage_key` names the file where it is kept, or will be. `attempts` counts the leases: it tells the
    worker that has the row from one whose lease has expired. `failures` counts the downloads that failed.
    `thumbnail_size` (bytes) is None where there is no thumbnail. `text` is None over MAX_TEXT_BYTES.
    """

    task_id: str
    n: int
    state: OutputState
    source_url: str | None
    file_type: str | None
    media_type: str
    node_id: str | None
    size: int | None
    sha256: str | None
    text: str | None
    storage_key: str | None
    attempts: int
    failures: int
    expires_ms: int
    thumbnail_size: int | None = None


class WebhookEvent(StrEnum):
    """What an outgoing webhook reports; `type` in its body."""

    SUCCEEDED = "task.succeeded"
    FAILED = "task.failed"
    CANCELLED = "task.cancelled"
    UNKNOWN = "task.unknown"
    OUTPUTS_KEPT = "task.outputs_kept"


class DeliveryState(StrEnum):
    """What became of an outgoing webhook; FAILED ones are not sent again."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One request to a receiver: its HTTP status, or why there was no response."""

    at: str
    status: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row of `webhook_deliveries`; `id` is the `webhook-id`, the same on every attempt.

    `failures` counts the failed attempts since it was last asked for. `leases` tells the worker that is
    sending it from one whose lease has expired.
    """

    id: str
    task_id: str
    type: WebhookEvent
    url: str
    body: str
    state: DeliveryState
    attempts: tuple[DeliveryAttempt, ...]
    failures: int
    leases: int
    next_try_ms: int | None
