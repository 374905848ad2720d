"""A refusal by RunningHub, independent of the format in which a call reports it."""

from dataclasses import dataclass
from typing import Any

from simulator import codes
from simulator.switches import BalanceDialect, Switches

_HTTP_429 = "http_429"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A code with its text, and where RunningHub sends them, data and an HTTP status other than 200."""

    code: int
    msg: str
    data: Any = None
    http_status: int = 200


def refusal(code: int, msg: str | None = None, data: Any = None) -> Refusal:
    """A refusal with the code's own text, unless another is given."""
    return Refusal(code, codes.message(code) if msg is None else msg, data)


def params_invalid(msg: str = codes.message(301)) -> Refusal:
    """301: a member is missing or badly typed."""
    return Refusal(301, msg)


def slots_taken(switches: Switches) -> Refusal:
    """The key has as many tasks as it may have; nothing was started."""
    if switches.slots_dialect == _HTTP_429:
        return Refusal(429, "Too Many Requests", http_status=429)
    return refusal(int(switches.slots_dialect))


def insufficient_balance(dialect: BalanceDialect) -> Refusal:
    """The account cannot pay for the run; nothing was started."""
    return refusal(int(dialect))


def task_not_found(switches: Switches) -> Refusal:
    """807 or 423."""
    return refusal(int(switches.unknown_task_dialect))


def node_mismatch(switches: Switches, node_id: str, field_name: str, reason: str) -> Refusal:
    """803: the app has no such node or field."""
    if switches.node_mismatch_dialect == "old":
        return refusal(803)
    return refusal(803, f"NODE_INFO_MISMATCH(nodeId={node_id}, fieldName={field_name}, reason={reason})")
