"""What several packages share: `Task`, `TaskStatus`, the allowed transitions, and other plain values."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

Json = Any


class TaskStatus(StrEnum):
    """The words of the contract; `is_final` ones never change."""

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
MAY_BE_AT_RUNNINGHUB = AT_RUNNINGHUB | {S.SUBMIT_UNKNOWN}

# Which statuses a status may follow. A call may narrow this, never widen it.
TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    S.PENDING: frozenset({S.SUBMITTING, S.SUBMIT_UNKNOWN}),
    S.SUBMITTING: frozenset({S.PENDING}),
    S.SUBMIT_UNKNOWN: frozenset({S.SUBMITTING}),
    S.QUEUED: frozenset({S.SUBMITTING, S.SUBMIT_UNKNOWN, S.RUNNING}),
    S.RUNNING: frozenset({S.SUBMITTING, S.SUBMIT_UNKNOWN, S.QUEUED}),
    S.SUCCESS: AT_RUNNINGHUB | {S.SUBMIT_UNKNOWN},
    S.FAILED: AT_RUNNINGHUB | {S.SUBMITTING, S.SUBMIT_UNKNOWN},
    S.CANCELLED: AT_RUNNINGHUB | {S.PENDING, S.SUBMITTING, S.SUBMIT_UNKNOWN},
}


@dataclass(frozen=True, slots=True)
class Task:
    """One row. JSON columns are decoded; `*_ms` are milliseconds since 1970 (UTC)."""

    seq: int
    id: str
    status: TaskStatus
    version: int
    created_at: str
    updated_at: str
    webapp_id: str | None
    node_info: list[dict[str, str]]
    instance_type: str | None
    encrypted_password: bytes | None
    runninghub_task_id: str | None
    hinted_task_id: str | None
    result_data: list[Json] | None
    error: dict[str, str] | None
    node_errors: dict[str, str] | None
    request_digest: str | None
    cancel_requested: bool
    accepted_ms: int | None
    running_ms: int | None
    lost_since_ms: int | None
    queue_position: int | None = None


@dataclass(frozen=True, slots=True)
class NewTask:
    """What a submit stores before anything is paid for."""

    id: str
    webapp_id: str
    node_info: list[dict[str, str]]
    instance_type: str | None = None
    encrypted_password: bytes | None = None
    idempotency_key: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a move to a status stores beside it; `None` leaves a column as it is."""

    status: TaskStatus
    sources: frozenset[TaskStatus] | None = None
    runninghub_task_id: str | None = None
    result_data: list[Json] | None = None
    error: dict[str, str] | None = None
    node_errors: dict[str, str] | None = None
    next_poll_ms: int | None = None
    run_seconds: float | None = None


class LimiterSignal(StrEnum):
    """What an outcome says about RunningHub's free slots; the gate is shared by all workers."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FREED = "freed"


def utc_now_ms() -> int:
    """Milliseconds since 1970; the one clock of all due times."""
    return int(datetime.now(UTC).timestamp() * 1000)


def rfc3339(ms: int) -> str:
    """`2026-11-23T12:00:00.123Z`."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
