"""The switches: everything about the simulator's behaviour that a test may set, with its default."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulator.endpoints import FaultScope

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
BalanceDialect = Literal["414", "416", "605", "812"]
FaultKind = Literal[
    "close_before",
    "code",
    "empty",
    "hang",
    "html_200",
    "http",
    "http_401",
    "http_429",
    "http_500_html",
    "http_502_html",
    "http_504_html",
    "huge",
    "invalid_json",
    "lost_reply",
    "no_task_id",
    "slow_bytes",
    "truncated",
    "wrong_types",
]


class Fault(BaseModel):
    """One thing that goes wrong at an endpoint; of a list, the first that applies happens."""

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    times: Count | None = Field(
        default=None, description="how often it still happens; null: until it is changed"
    )
    probability: Probability = 1
    instance_types: list[str] | None = Field(
        default=None, description="only for runs on these instance types; null: for all requests"
    )
    handled: bool | None = Field(
        default=None,
        description="whether the request takes effect first (a run is accepted and counted); "
        "by default only for lost_reply, truncated, hang and slow_bytes",
    )
    seconds: Seconds | None = Field(
        default=None,
        description="hang: the delay before the response (null: for ever); slow_bytes: between bytes",
    )
    reset: bool = Field(
        default=False,
        description="close_before, lost_reply, truncated: a TCP reset instead of an orderly close",
    )
    status: Annotated[int, Field(ge=200, le=599)] = Field(default=503, description="http: the HTTP status")
    code: int = Field(default=1005, description="code: the envelope's `code`")
    msg: str | None = Field(
        default=None, description="code: the envelope's `msg`; null: RunningHub's own for that code"
    )
    data: Any = Field(default=None, description="code: the envelope's `data`")
    bytes: Count | None = Field(
        default=None, description="truncated: how much of the body is sent; null: half of it"
    )
    megabytes: Annotated[int, Field(ge=1, le=2048)] = Field(default=10, description="huge: the body's size")


Faults = dict[FaultScope, Fault | list[Fault]]


class Account(BaseModel):
    """What one API key may do; a member that is null follows the switch of the same name."""

    model_config = ConfigDict(extra="forbid")

    slots: Count | None = Field(default=None, description="tasks at once; 0: no limit")
    concurrent_limit: Count | None = Field(
        default=None, description="the limit that queue/status reports; null: the slots"
    )
    coins: float | None = Field(
        default=None, description="runs reduce it; null: 99999, however many runs there are"
    )
    money: Decimal | None = Field(
        default=None, description="the wallet, which pays for a run when the coins are not enough; null: none"
    )
    currency: str = "CNY"
    api_type: str = "NORMAL"
    balance_dialect: BalanceDialect | None = None
    faults: Faults = Field(
        default_factory=dict, description="faults for this key only, before the general ones"
    )


DEFAULT_ACCOUNT = Account()
"""What every key has that is not listed; nothing limits it, so that nothing ever changes in it."""


class Switches(BaseModel):
    """All switches; each is a member of the JSON route and an option of the command line."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    queue_time: Seconds = Field(default=0.5, description="seconds a task is QUEUED")
    run_time: Seconds = Field(default=3, description="seconds a task is RUNNING")
    run_time_max: Seconds | None = Field(
        default=None, description="run times are spread from run_time up to this"
    )
    slots: Count = Field(default=3, description="tasks at once per key; 0: no limit")
    slots_dialect: Literal["421", "415", "1520", "1003", "814", "http_429"] = Field(
        default="421", description="how a run over the slots is refused"
    )
    run_coins: Count | None = Field(
        default=None,
        description="coins that a run costs, twice that on plus; none: 0.2 per second of run time",
    )
    balance_dialect: BalanceDialect = Field(
        default="414", description="how a run is refused that costs more than the account has"
    )
    latency: Seconds = Field(default=0, description="seconds before every response of RunningHub's routes")
    run_latency: Seconds = Field(
        default=0, description="seconds between accepting a run and responding to it"
    )
    upload_max_mb: Count = Field(default=30, description="a larger upload gets 809")
    upload_bytes_per_second: Count = Field(
        default=0, description="how fast uploads are read; 0: as they arrive"
    )
    outputs_dialect: Literal["wss", "no_wss", "zero_null", "zero_empty"] = Field(
        default="wss",
        description="wss: running is 804 with netWssUrl; no_wss: 804 with null; zero_null: queued and "
        "running are 0 with null; zero_empty: as wss, and a finished task gives 0 with []",
    )
    unknown_task_dialect: Literal["807", "423"] = Field(
        default="807", description="the response for an unknown task"
    )
    node_mismatch_dialect: Literal["new", "old"] = Field(
        default="new", description="803 as NODE_INFO_MISMATCH(…) or as APIKEY_INVALID_NODE_INFO"
    )
    validation_dialect: Literal["msg", "promptTips", "data"] = Field(
        default="msg", description="where 433 puts the node errors"
    )
    unsupported_dialect: Literal["808", "301", "accept"] = Field(
        default="808", description="the response to an upload of an unsupported type"
    )
    queue_status: Literal["numbers", "strings", "hidden", "http_404"] = Field(
        default="numbers",
        description="how queue/status reports: as numbers, as strings; not there: 412, or HTTP 404",
    )
    forget_tasks: bool = Field(default=False, description="accepted tasks are reported as unknown")
    fail_next: Count = Field(default=0, description="so many of the next tasks fail")
    fail_probability: Probability = Field(default=0, description="the share of tasks that fail")
    fail_reason: Literal["full", "null"] = Field(default="full", description="failedReason of failed tasks")
    cancelled_dialect: Literal["empty", "CANCEL"] = Field(
        default="empty", description="the status of a cancelled task in v2"
    )
    query_dialect: Literal["flat", "wrapped"] = Field(
        default="flat", description="a v2 query returns the task object, or wraps it in an envelope"
    )
    models_for_shared_keys: bool = Field(
        default=False, description="standard models are for keys of api_type SHARED; others get 1014"
    )
    websocket: Literal["on", "refused", "breaks"] = Field(
        default="on", description="the stream at netWssUrl; breaks: it ends halfway"
    )
    files_ttl: Seconds = Field(
        default=86_400, description="seconds after a task's end until the links to its files expire"
    )
    files_megabytes: Annotated[int, Field(ge=0, le=8192)] = Field(
        default=0, description="result files are padded to this size; 0: as they are"
    )
    files_bytes_per_second: Count = Field(
        default=0, description="how fast result files are sent; 0: as fast as possible"
    )
    files_version: Count = Field(
        default=0, description="another number: result files have other bytes, another length and ETag"
    )
    prompt_tips_errors: bool = Field(
        default=False, description="accepted runs have node_errors in promptTips"
    )
    webhook: Literal["on", "off", "early"] = Field(
        default="on",
        description="early: the task ends at once, its TASK_END is sent before the run's response",
    )
    webhook_delay: Seconds = Field(default=0, description="seconds between a task's end and its TASK_END")
    webhook_repeats: Annotated[int, Field(ge=0, le=100)] = Field(
        default=0, description="extra deliveries of each TASK_END"
    )
    accounts: dict[str, Account] = Field(
        default_factory=dict, description="slots, balance and faults of single API keys"
    )
    faults: Faults = Field(
        default_factory=dict,
        description='faults by endpoint ("paid", "free", "*": groups), each one or a list',
    )

    def account(self, api_key: str) -> Account:
        """The account of a key; one that is not listed has only defaults."""
        return self.accounts.get(api_key, DEFAULT_ACCOUNT)

    def slots_of(self, api_key: str) -> int:
        """How many tasks a key may run at once; 0: no limit."""
        slots = self.account(api_key).slots
        return self.slots if slots is None else slots


class SwitchesPatch(Switches):
    """A part of the switches; members that are not sent stay as they are."""


def patched(switches: Switches, patch: SwitchesPatch) -> Switches:
    """The switches with the members that a patch sets; accounts are changed member by member too."""
    update = {name: getattr(patch, name) for name in patch.model_fields_set - {"accounts"}}
    accounts = dict(switches.accounts)
    for key, account in patch.accounts.items():
        changes = {name: getattr(account, name) for name in account.model_fields_set}
        accounts[key] = switches.account(key).model_copy(update=changes)
    return switches.model_copy(update=update | {"accounts": accounts})
