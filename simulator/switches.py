"""The switch board: everything about the stand-in's behaviour that a test may set, with its default."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Probability = Annotated[float, Field(ge=0, le=1)]
FaultKind = Literal[
    "close_before",
    "code",
    "empty",
    "hang",
    "html_200",
    "http_401",
    "http_429",
    "http_500_html",
    "http_502_html",
    "http_504_html",
    "huge",
    "invalid_json",
    "lost_reply",
    "slow_bytes",
    "wrong_types",
]
Endpoint = Literal["*", "accountStatus", "apiCallDemo", "cancel", "outputs", "run", "status", "upload"]


class Fault(BaseModel):
    """One thing that goes wrong at an endpoint; of a list, the first that strikes happens."""

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    times: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="how often it still happens; null: until changed"
    )
    probability: Probability = 1
    handled: bool | None = Field(
        default=None,
        description="whether the request takes effect first (a run is accepted and counted); "
        "by default only for lost_reply, hang and slow_bytes",
    )
    seconds: Seconds | None = Field(
        default=None,
        description="hang: the wait before the answer (null: for ever); slow_bytes: the wait between bytes",
    )
    reset: bool = Field(
        default=False, description="close_before, lost_reply: a TCP reset in place of an orderly close"
    )
    code: int = Field(default=1005, description="code: the envelope's `code`")
    msg: str = Field(default="", description="code: the envelope's `msg`")
    data: Any = Field(default=None, description="code: the envelope's `data`")
    megabytes: Annotated[int, Field(ge=1, le=2048)] = Field(default=10, description="huge: the reply's size")


class Switches(BaseModel):
    """All switches; each is a member of the JSON route and an option of the command line."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    queue_time: Seconds = Field(default=0.5, description="seconds a task is QUEUED")
    run_time: Seconds = Field(default=3, description="seconds a task is RUNNING")
    run_time_max: Seconds | None = Field(
        default=None, description="run times spread from run_time up to this"
    )
    slots: Annotated[int, Field(ge=0)] = Field(default=3, description="tasks at once per key; 0: no limit")
    slots_dialect: Literal["421", "415", "1520", "1003", "814", "http_429"] = Field(
        default="421", description="how a run over the slots is refused"
    )
    latency: Seconds = Field(default=0, description="seconds before every answer of RunningHub's routes")
    run_latency: Seconds = Field(default=0, description="seconds between accepting a run and answering it")
    upload_max_mb: Annotated[int, Field(ge=0)] = Field(default=30, description="above it an upload gives 809")
    upload_bytes_per_second: Annotated[int, Field(ge=0)] = Field(
        default=0, description="how fast uploads are read; 0: as they come"
    )
    outputs_dialect: Literal["wss", "no_wss", "zero_null", "zero_empty"] = Field(
        default="wss",
        description="wss: running is 804 with netWssUrl; no_wss: 804 with null; zero_null: queued and "
        "running are 0 with null; zero_empty: as wss, and a finished task gives 0 with []",
    )
    unknown_task_dialect: Literal["807", "423"] = Field(
        default="807", description="the answer for an unknown task"
    )
    node_mismatch_dialect: Literal["new", "old"] = Field(
        default="new", description="803 as NODE_INFO_MISMATCH(…) or as APIKEY_INVALID_NODE_INFO"
    )
    validation_dialect: Literal["msg", "promptTips", "data"] = Field(
        default="msg", description="where 433 puts the node errors"
    )
    unsupported_dialect: Literal["808", "301", "accept"] = Field(
        default="808", description="how an upload of an unsupported type is answered"
    )
    forget_tasks: bool = Field(default=False, description="accepted tasks are answered as unknown")
    fail_next: Annotated[int, Field(ge=0)] = Field(default=0, description="so many of the next tasks fail")
    fail_probability: Probability = Field(default=0, description="the share of tasks that fail")
    fail_reason: Literal["full", "null"] = Field(default="full", description="failedReason of failed tasks")
    prompt_tips_errors: bool = Field(
        default=False, description="accepted runs have node_errors in promptTips"
    )
    webhook: Literal["on", "off", "early"] = Field(
        default="on", description="early: the task ends at once, its TASK_END goes out before the run's reply"
    )
    webhook_delay: Seconds = Field(default=0, description="seconds between a task's end and its TASK_END")
    webhook_repeats: Annotated[int, Field(ge=0, le=100)] = Field(
        default=0, description="extra deliveries of each TASK_END"
    )
    faults: dict[Endpoint, Fault | list[Fault]] = Field(
        default_factory=dict, description='faults by endpoint ("*": all), each one or a list'
    )


class SwitchesPatch(Switches):
    """A part of the switches; members that are not sent stay as they are."""
