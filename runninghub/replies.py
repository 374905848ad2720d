"""RunningHub's replies as typed values: pure functions that accept more than its documentation promises."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from pydantic_core import from_json

from errors import AppError, InvalidNodeInfo, RunningHubRejected, RunningHubUnavailable
from models import Balance
from runninghub import codes
from runninghub.codes import Refusal

MAX_MESSAGE_CHARS = 1000
SHORTEST_MASKED_SECRET = 4
MASK = "***"
NODE_INFO_MISMATCH = re.compile(r"nodeId=([^,()]*),\s*fieldName=([^,()]*),\s*reason=([^()]*)\)")
CODE_TEXT = re.compile(r"-?[0-9]{1,9}")
MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """One response: RunningHub's envelope, or `code` None where it was not RunningHub's JSON."""

    http_status: int
    code: int | None
    msg: str
    data: Any

    @property
    def refusal(self) -> Refusal:
        """Its class as a response to a paid call."""
        return codes.refusal(self.http_status, self.code, self.msg)

    @property
    def upstream(self) -> dict[str, Any]:
        """`{"code", "msg"}` for a problem's `upstream`."""
        if self.code is None:
            return {"code": self.http_status, "msg": f"HTTP {self.http_status}"}
        return {"code": self.code, "msg": self.msg}

    @property
    def is_answer(self) -> bool:
        """Whether RunningHub works, whatever it says: its envelope without a code that means an outage."""
        return self.refusal not in {Refusal.UNKNOWN, Refusal.NOT_SENT}

    def raise_for_code(self) -> Any:
        """`data` where the code is 0. Raises the AppError of the code table."""
        if self.code is None or self.http_status >= 500:
            raise self._unusable()
        if self.code == 0:
            return self.data
        raise self.error()

    def error(self) -> AppError:
        """The problem that the code stands for."""
        if self.code is None or self.http_status >= 500:
            return self._unusable()
        if self.code in codes.BUSY:
            return RunningHubRejected(
                "RunningHub is busy. Try again shortly.", upstream=self.upstream, retry_after=5
            )
        kind = codes.error_type(self.code, self.msg)
        return kind(
            f"RunningHub returned {self.code} ({self.msg or 'no message'}). {codes.ADVICE[kind]}",
            upstream=self.upstream,
            errors=field_errors(self) if kind is InvalidNodeInfo else None,
        )

    def _unusable(self) -> AppError:
        if self.http_status == 429:
            return RunningHubRejected(
                "RunningHub is busy. Try again shortly.", upstream=self.upstream, retry_after=5
            )
        if 400 <= self.http_status < 500 and self.http_status != 408:
            return RunningHubRejected(
                f"RunningHub refused the call with HTTP {self.http_status}. Check RUNNINGHUB_BASE_URL and"
                " the key.",
                upstream=self.upstream,
            )
        return self.without_usable_body()

    def without_usable_body(self) -> RunningHubUnavailable:
        """The problem for a response that is not RunningHub's JSON."""
        return RunningHubUnavailable(
            f"RunningHub responded with HTTP {self.http_status} and no usable reply. Try again shortly.",
            retry_after=5,
        )


class RunState(Enum):
    """What RunningHub says about a task."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True)
class PollResult:
    """RunningHub's state of a task: `results` when FINISHED, `reason` when FAILED and it gave one."""

    state: RunState
    results: list[Any] | None = None
    reason: dict[str, str] | None = None
    # Contains a token.
    progress_url: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RunResult:
    """The outcome of a paid call. `runninghub_task_id` is set when ACCEPTED, `error` otherwise.

    `node_errors`: the node that RunningHub warned about although it accepted the task.
    """

    refusal: Refusal
    runninghub_task_id: str = ""
    is_running: bool = False
    node_errors: dict[str, str] | None = None
    error: AppError | None = None
    # Contains a token.
    progress_url: str | None = field(default=None, compare=False, repr=False)


def parse_reply(http_status: int, content: bytes, secrets: Iterable[str]) -> Reply:
    """RunningHub's envelope, v1 or v2, with `secrets` masked wherever it repeats them."""
    envelope = masked(json_object(content), [s for s in secrets if len(s) >= SHORTEST_MASKED_SECRET])
    code = _code(envelope)
    msg = text(envelope.get("msg") or envelope.get("message") or envelope.get("errorMessage"))
    is_flat = "code" not in envelope
    return Reply(http_status, code, msg, envelope if is_flat else envelope.get("data"))


def _code(envelope: dict[str, Any]) -> int | None:
    """`code` of v1 and of v2's lists; `errorCode` of v2's task objects, whose success is an empty text."""
    if "code" in envelope:
        code = envelope["code"]
    elif "taskId" in envelope or "errorCode" in envelope:
        code = envelope.get("errorCode") or 0
    else:
        return None
    if isinstance(code, str) and CODE_TEXT.fullmatch(code):
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def count_values(content: bytes) -> int:
    """About how many values a JSON text, or a part of it, has: commas and brackets, also in texts."""
    return content.count(b",") + content.count(b"[") + content.count(b"{")


def masked(value: Any, secrets: list[str]) -> Any:
    """`value` with every secret in its texts, member names included, replaced."""
    if isinstance(value, str):
        for secret in secrets:
            if secret in value:
                value = value.replace(secret, MASK)
        return value
    if isinstance(value, dict):
        return {masked(name, secrets): masked(item, secrets) for name, item in value.items()}
    if isinstance(value, list):
        return [masked(item, secrets) for item in value]
    return value


def run_result(reply: Reply) -> RunResult:
    """The outcome of a paid call from its reply; a success without a task id is an unknown outcome."""
    refusal = reply.refusal
    if refusal is Refusal.UNKNOWN:
        return RunResult(refusal, error=_unknown_outcome(reply))
    if refusal is not Refusal.ACCEPTED:
        return RunResult(refusal, error=reply.error())
    data = json_object(reply.data)
    task_id = id_text(data.get("taskId"))
    if not task_id:
        return RunResult(Refusal.UNKNOWN, error=unreadable())
    status = data.get("taskStatus") or data.get("status")
    return RunResult(
        refusal, task_id, status == "RUNNING", node_errors(data), progress_url=_progress_url(data)
    )


def _progress_url(data: Any) -> str | None:
    """The address of a run's WebSocket."""
    return text(json_object(data).get("netWssUrl")) or None


def _unknown_outcome(reply: Reply) -> RunningHubUnavailable:
    if reply.code is None or reply.http_status >= 500:
        return reply.without_usable_body()
    message = f"RunningHub returned {reply.code} ({reply.msg or 'no message'})."
    return RunningHubUnavailable(message, upstream=reply.upstream, retry_after=5)


def poll_result(reply: Reply) -> PollResult:
    """RunningHub's /outputs page: 804 and 813 are in progress, 805 failed, 0 with a list is finished.

    Raises the AppError of any other code: it is reported, and the task stays as it is.
    """
    if reply.http_status >= 500:
        raise reply.error()
    code, data = reply.code, reply.data
    if code == 0 and isinstance(data, list):
        return PollResult(RunState.FINISHED, results=data)
    if code == codes.RUNNING or (code == 0 and data is None):
        return PollResult(RunState.RUNNING, progress_url=_progress_url(data))
    if code == codes.QUEUED:
        return PollResult(RunState.QUEUED)
    if code in codes.TASK_UNKNOWN:
        return PollResult(RunState.NOT_KNOWN)
    if code in codes.RUN_FAILED:
        return PollResult(RunState.FAILED, reason=failed_reason(reply))
    if code != 0:
        raise reply.error()
    raise unreadable()


def query_result(reply: Reply) -> PollResult:
    """The same from v2's `/openapi/v2/query`, whose task object has a `status` and `results`.

    An empty status or CANCEL was seen after a cancel.
    """
    task = json_object(reply.data)
    if reply.code in codes.TASK_UNKNOWN:
        return PollResult(RunState.NOT_KNOWN)
    status = task.get("status")
    if status in {"QUEUED", "CREATE"}:
        return PollResult(RunState.QUEUED)
    if status == "RUNNING":
        return PollResult(RunState.RUNNING)
    if status == "SUCCESS":
        results = [
            _as_v1_result(item, json_object(task.get("usage"))) for item in objects(task.get("results"))
        ]
        return PollResult(RunState.FINISHED, results=results)
    if status in {"FAILED", "CANCEL"} or reply.code in codes.RUN_FAILED:
        reason = failed_reason(Reply(reply.http_status, reply.code or 805, reply.msg, task))
        return PollResult(RunState.FAILED, reason=reason)
    reply.raise_for_code()
    raise unreadable()


def _as_v1_result(item: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    """One result in the spelling of /outputs, with the task's cost repeated on it as there."""
    return {
        "fileUrl": item.get("url"),
        "fileType": item.get("outputType"),
        "nodeId": item.get("nodeId"),
        **{
            name: usage.get(name)
            for name in ("taskCostTime", "consumeCoins", "consumeMoney", "thirdPartyConsumeMoney")
        },
        **({"text": item["text"]} if item.get("text") else {}),
    }


def failed_reason(reply: Reply) -> dict[str, str] | None:
    """Why a run failed, for people; None where RunningHub gives no reason, as after a cancel."""
    failed = json_object(json_object(reply.data).get("failedReason"))
    if not failed and reply.code == 805:
        return None
    sentence = failed.get("exception_message") or failed.get("exception_type") or reply.msg
    reason = {"message": text(sentence) or "RunningHub reports that the task failed, and gives no reason."}
    for name in ("node_id", "node_name"):
        if failed.get(name):
            reason[name] = text(failed[name])
    return reason


def node_errors(data: dict[str, Any]) -> dict[str, str] | None:
    """The first of the node errors that RunningHub may report beside code 0 (in `promptTips`)."""
    for error in _comfy_errors(json_object(data.get("promptTips"))):
        return {"message": error["msg"], "node_id": error["nodeId"], "node_name": error["nodeName"]}
    return None


def field_errors(reply: Reply) -> list[dict[str, Any]]:
    """What RunningHub says about single fields: 803 in its newer form, and ComfyUI's texts of 433."""
    found = [
        dict(zip(("nodeId", "fieldName", "msg"), map(str.strip, groups), strict=True))
        for groups in NODE_INFO_MISMATCH.findall(reply.msg)
    ]
    data = json_object(reply.data)
    for tips in (json_object(reply.msg), data, json_object(data.get("promptTips"))):
        found += [
            {name: error[name] for name in ("nodeId", "fieldName", "msg")} for error in _comfy_errors(tips)
        ]
    return found or [{"nodeId": None, "fieldName": None, "msg": reply.msg}]


def _comfy_errors(tips: dict[str, Any]) -> list[dict[str, str]]:
    """ComfyUI's `{"node_errors": {"<nodeId>": {"errors": [{"message", …}], "class_type": …}}}`."""
    found = []
    for node_id, node in json_object(tips.get("node_errors")).items():
        for error in objects(json_object(node).get("errors")):
            sentences = (text(error.get("message")), text(error.get("details")))
            found.append(
                {
                    "nodeId": text(node_id),
                    "nodeName": text(json_object(node).get("class_type")),
                    "fieldName": text(json_object(error.get("extra_info")).get("input_name")),
                    "msg": ": ".join(filter(None, sentences)),
                }
            )
    return found


def balance_of(data: dict[str, Any]) -> Balance:
    """An account's coins and wallet from accountStatus; what is not a number is left out."""
    currency = data.get("currency")
    return Balance(
        coins=decimal_text(data.get("remainCoins")),
        money=decimal_text(data.get("remainMoney")),
        currency=currency if isinstance(currency, str) else None,
    )


def has_balance(balance: Balance) -> bool:
    return any(Decimal(amount) > 0 for amount in (balance.coins, balance.money) if amount is not None)


def has_grown(balance: Balance, before: str) -> bool:
    """Whether an account has more than at a refusal; `before` is what `balance_text` gave then."""
    amounts = balance_text(balance).split("/")
    return any(
        Decimal(now or 0) > Decimal(then or 0) for now, then in zip(amounts, before.split("/"), strict=False)
    )


def balance_text(balance: Balance) -> str:
    """`coins/money`, either empty where there is none."""
    return f"{balance.coins or ''}/{balance.money or ''}"


def count_of(value: Any) -> int | None:
    """A count that RunningHub sends as a number or a text."""
    try:
        count = int(str(value))
    except ValueError:
        return None
    return count if 0 <= count < MICROS else None


def decimal_text(value: Any) -> str | None:
    """A finite decimal number as RunningHub spells it; None: it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return str(value).strip() if Decimal(str(value).strip()).is_finite() else None
    except InvalidOperation:
        return None


def cost_of(results: list[Any]) -> tuple[dict[str, str | None] | None, dict[str, int | None]]:
    """What a task cost, and the same in millionths by column; each file repeats it: it counts once."""
    spelling = {"coins": "consumeCoins", "money": "consumeMoney", "thirdPartyMoney": "thirdPartyConsumeMoney"}
    cost = {name: _first_amount(results, member) for name, member in spelling.items()}
    columns = {
        "coins_micros": _micros(cost["coins"]),
        "money_micros": _micros(cost["money"]),
        "third_party_money_micros": _micros(cost["thirdPartyMoney"]),
    }
    return (cost if any(amount is not None for amount in cost.values()) else None), columns


def _first_amount(results: list[Any], member: str) -> str | None:
    amounts = (decimal_text(result.get(member)) for result in objects(results))
    return next((amount for amount in amounts if amount is not None), None)


def _micros(amount: str | None) -> int | None:
    if amount is None:
        return None
    micros = Decimal(amount) * MICROS
    return int(micros.to_integral_value()) if abs(micros) < 2**62 else None


def run_seconds(results: list[Any]) -> float | None:
    """RunningHub's own count of how long a task ran."""
    told = [_seconds(result.get("taskCostTime")) for result in objects(results)]
    return max(told, default=0.0) or None


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return seconds if 0 < seconds < 1e6 else 0.0


def unreadable() -> RunningHubUnavailable:
    return RunningHubUnavailable("RunningHub's reply could not be read. Try again shortly.", retry_after=5)


def text(value: Any) -> str:
    """A text or a number as a bounded text; anything else is empty."""
    return str(value).strip()[:MAX_MESSAGE_CHARS] if isinstance(value, str | int) else ""


def id_text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def json_object(value: Any) -> dict[str, Any]:
    """An object, or JSON text of one; else an empty one."""
    if isinstance(value, str | bytes):
        try:
            value = _from_json(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _from_json(json_text: str | bytes) -> Any:
    """JSON that can be stored and returned: half surrogate pairs, as of a text that was cut, become `?`."""
    try:
        return from_json(json_text)
    except ValueError:
        return from_json(json.dumps(json.loads(json_text), ensure_ascii=False).encode(errors="replace"))


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects among a list's items."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
