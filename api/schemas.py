"""The bodies of requests and responses, in the contract's spelling."""

import difflib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NotRequired, Self, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType, TypedDict  # pydantic requires this one before Python 3.12

from api.problems import InternalError
from config import checked_webhook_url
from errors import (
    AppError,
    FileTooLarge,
    InsufficientBalance,
    InvalidNodeInfo,
    RunningHubRejected,
    RunningHubTimeout,
    RunningHubUnavailable,
    UnsupportedFile,
    WebappNotFound,
    WorkflowNotFound,
)
from forms.values import sent_value
from models import Output, OutputState, Task, TaskStatus, WaitCode, WebhookEvent, milliseconds, rfc3339
from task_service import Submission
from tasks.account_monitor import Waiting

MAX_NODES = 1000
MAX_VALUE_CHARS = 200_000
# Of warnings about unknown members.
MAX_WARNINGS = 50
MAX_SHOWN_CHARS = 100

EXAMPLE_WEBAPP = "1992755951447109633"
EXAMPLE_NODE = {"nodeId": "15", "fieldName": "text", "fieldType": "STRING", "fieldValue": "a cat"}


def _id_text(value: object) -> object:
    """Ids come as text or as integers; never as floats, which have lost digits already."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Id = Annotated[
    str,
    BeforeValidator(_id_text),
    Field(min_length=1, max_length=64, pattern=r"^[^\s\x00-\x1f]+$"),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1, "maxLength": 64}, {"type": "integer"}]}),
]
# The pattern also refuses half surrogate pairs, which no file can store.
Name = Annotated[str, BeforeValidator(_id_text), Field(min_length=1, max_length=500, pattern=".")]
SentText = Annotated[str, BeforeValidator(sent_value), Field(max_length=MAX_VALUE_CHARS)]


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from None


UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]


def empty_is(default: object) -> BeforeValidator:
    """A parameter without a value, `?limit=`, counts as left out: forms and templates send them.

    Stands behind the bounds: before them, the OpenAPI document gets names that are not JSON Schema's.
    """
    return BeforeValidator(lambda value: default if value == "" else value)


class Body(BaseModel):
    """Both spellings of a name are accepted, unknown members are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _one_target(webapp_id: str | None, workflow_id: str | None) -> None:
    if (webapp_id is None) == (workflow_id is None):
        raise ValueError("give either webappId or workflowId")


class NodeInfoRequest(Body):
    webapp_id: Id | None = Field(
        None,
        validation_alias=AliasChoices("webappId", "webapp_id"),
        description="The app's id: the number at the end of its page's address.",
        examples=[EXAMPLE_WEBAPP],
    )
    workflow_id: Id | None = Field(
        None,
        validation_alias=AliasChoices("workflowId", "workflow_id"),
        description="Instead of an app: the id of a plain workflow.",
        examples=[None],
    )
    refresh: bool = Field(False, description="Fetch it from RunningHub again instead of the cache.")

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        _one_target(self.webapp_id, self.workflow_id)
        return self


class NodeValue(Body):
    """One value of the form. What `/get_node_info` gave can be sent back as it is."""

    node_id: Name = Field(validation_alias=AliasChoices("nodeId", "node_id"), examples=["15"])
    field_name: Name = Field(validation_alias=AliasChoices("fieldName", "field_name"), examples=["text"])
    field_type: Annotated[str, Field(max_length=100)] | None = Field(
        None, validation_alias=AliasChoices("fieldType", "field_type"), examples=["STRING"]
    )
    field_value: SentText = Field(
        validation_alias=AliasChoices("fieldValue", "field_value"),
        description="Sent to RunningHub as text: 8 as `8`, true as `true`.",
        examples=["a cat"],
        json_schema_extra={"type": ["string", "number", "boolean", "null"]},
    )

    def sent(self) -> dict[str, str]:
        """The members that go up to RunningHub."""
        kind = {} if self.field_type is None else {"fieldType": self.field_type}
        return {"nodeId": self.node_id, "fieldName": self.field_name, **kind, "fieldValue": self.field_value}


MAX_METADATA_BYTES = 4096
MAX_DEADLINE_S = 604_800


def _bounded_metadata(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if (
        value is not None
        and len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
        > MAX_METADATA_BYTES
    ):
        raise ValueError(f"must be at most {MAX_METADATA_BYTES} bytes of JSON")
    return value


# Any JSON value is read as nodeInfoList's would be; the document names the useful ones.
Values = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
    ),
]


WebhookUrl = Annotated[str, Field(max_length=2000), AfterValidator(checked_webhook_url)]


class SubmitRequest(Body, extra="allow", json_schema_extra=lambda schema: schema.pop("additionalProperties")):
    webapp_id: Id | None = Field(
        None, validation_alias=AliasChoices("webappId", "webapp_id"), examples=[EXAMPLE_WEBAPP]
    )
    workflow_id: Id | None = Field(
        None,
        validation_alias=AliasChoices("workflowId", "workflow_id"),
        description="Instead of an app: the id of a plain workflow.",
        examples=[None],
    )
    node_info_list: list[NodeValue] | None = Field(
        None,
        validation_alias=AliasChoices("nodeInfoList", "node_info_list"),
        max_length=MAX_NODES,
        description="Only the fields to change: RunningHub uses the app's saved value for all others.",
        examples=[[EXAMPLE_NODE]],
    )
    values: Values | None = Field(
        None,
        max_length=MAX_NODES,
        description="Instead of nodeInfoList: values by the keys of the form's `schema`.",
        examples=[None],
    )
    instance_type: Annotated[str, Field(min_length=1, max_length=50)] | None = Field(
        None,
        validation_alias=AliasChoices("instanceType", "instance_type"),
        description="`default` (24 GB), `plus` (48 GB), …",
        examples=["default"],
    )
    access_password: Annotated[str, Field(max_length=500)] | None = Field(
        None,
        validation_alias=AliasChoices("accessPassword", "access_password"),
        description="For an app with `accessEncrypted`.",
        examples=[None],
    )
    use_personal_queue: bool | None = Field(
        None,
        validation_alias=AliasChoices("usePersonalQueue", "use_personal_queue"),
        description="Passed through: for exclusive API keys.",
        examples=[None],
    )
    retain_seconds: int | None = Field(
        None,
        validation_alias=AliasChoices("retainSeconds", "retain_seconds"),
        ge=0,
        le=86_400,
        description="Passed through: how long RunningHub keeps the machine ready; it is billed.",
        examples=[None],
    )
    metadata: Annotated[dict[str, Any] | None, AfterValidator(_bounded_metadata)] = Field(
        None, description="A JSON object of up to 4 kB, returned unchanged with the task.", examples=[None]
    )
    webhook_url: WebhookUrl | None = Field(
        None,
        validation_alias=AliasChoices("webhook_url", "webhookUrl"),
        description="Where this task's end is posted, instead of WEBHOOK_URL. Requires WEBHOOK_SECRET.",
        examples=[None],
    )
    deadline_s: float | None = Field(
        None,
        ge=1,
        le=MAX_DEADLINE_S,
        description="A task that is not final after so many seconds is cancelled, at RunningHub too.",
        examples=[None],
    )

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        _one_target(self.webapp_id, self.workflow_id)
        if self.values is not None and self.node_info_list:
            raise ValueError("give either nodeInfoList or values")
        if self.values is None and self.node_info_list is None:
            raise ValueError("give nodeInfoList (it may be empty) or values")
        return self

    def submission(self, idempotency_key: str | None) -> Submission:
        options = {"usePersonalQueue": self.use_personal_queue, "retainSeconds": self.retain_seconds}
        return Submission(
            webapp_id=self.webapp_id,
            workflow_id=self.workflow_id,
            node_info=[value.sent() for value in self.node_info_list or ()],
            values=self.values,
            instance_type=self.instance_type,
            access_password=self.access_password or None,
            run_options={name: value for name, value in options.items() if value is not None},
            metadata=self.metadata,
            webhook_url=self.webhook_url,
            deadline_s=self.deadline_s,
            idempotency_key=idempotency_key,
        )

    def ignored_members(self) -> list[dict[str, Any]]:
        """A warning for each unknown member: a misspelt `instancetype` would be paid for silently."""
        unknown = [name[:MAX_SHOWN_CHARS] for name in self.model_extra or {} if name != "apiKey"]
        if not unknown:
            return []
        spellings = {_plain(name): name for name in map(_spelling, type(self).model_fields.items())}
        return [_ignored(name, spellings) for name in unknown[:MAX_WARNINGS]]


def _spelling(member: tuple[str, FieldInfo]) -> str:
    name, field = member
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else name


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _ignored(name: str, spellings: dict[str, str]) -> dict[str, Any]:
    similar = difflib.get_close_matches(_plain(name), spellings, n=1)
    suggestion = f" Did you mean {spellings[similar[0]]}?" if similar else ""
    return {"nodeId": None, "fieldName": name, "message": f"Unknown member, ignored.{suggestion}"}


class QueryRequest(Body):
    task_id: Id = Field(
        validation_alias=AliasChoices("taskId", "task_id"),
        description="The task's id here, or RunningHub's.",
        examples=["1994070439827980290"],
    )


class SettleRequest(Body):
    """How a SUBMIT_UNKNOWN task is resolved: one of the two."""

    runninghub_task_id: Annotated[str, BeforeValidator(_id_text), Field(pattern=r"^[0-9]{1,30}$")] | None = (
        Field(
            None,
            validation_alias=AliasChoices("runninghub_task_id", "runninghubTaskId"),
            description="It did start: its id, from RunningHub's console.",
            examples=["1994070439827980290"],
        )
    )
    resubmit: bool = Field(False, description="It did not start: send it again.", examples=[False])

    @model_validator(mode="after")
    def _is_one_word(self) -> Self:
        if self.resubmit == (self.runninghub_task_id is not None):
            raise ValueError("give either runninghub_task_id or resubmit: true")
        return self


RUN_ERROR_CODES = (
    *("deadline", "duplicate_runninghub_id", "lost_at_runninghub", "restored", "run_failed"),
    "submit_interrupted",
)
# With which RunningHub rejected a task, or which left its outcome unknown.
SUBMIT_ERRORS: tuple[type[AppError], ...] = (
    *(InvalidNodeInfo, WebappNotFound, WorkflowNotFound, FileTooLarge, UnsupportedFile, InsufficientBalance),
    *(RunningHubRejected, RunningHubUnavailable, RunningHubTimeout, InternalError),
)
# An enum in the document only: a stored task may have a code of an earlier release.
TaskErrorCode = TypeAliasType(
    "TaskErrorCode",
    Annotated[
        str,
        WithJsonSchema(
            {"type": "string", "enum": [*RUN_ERROR_CODES, *(error.code for error in SUBMIT_ERRORS)]}
        ),
    ],
)


class TaskError(BaseModel):
    code: TaskErrorCode
    message: str
    node_id: str | None = None
    node_name: str | None = None


# A result may have any shape, and is passed on as it was stored; these members are RunningHub's usual ones.
TaskResult = TypeAliasType(
    "TaskResult",
    Annotated[
        Any,
        WithJsonSchema(
            {
                "type": "object",
                "description": "One result, in full, in RunningHub's spelling.",
                "properties": {
                    "fileUrl": {"type": "string"},
                    "fileType": {"type": "string", "description": "The file's extension."},
                    "nodeId": {"type": "string"},
                    "taskCostTime": {"type": ["string", "number", "null"], "description": "Seconds."},
                    "consumeCoins": {"type": ["string", "null"]},
                    "consumeMoney": {"type": ["string", "null"]},
                    "thirdPartyConsumeMoney": {"type": ["string", "null"]},
                },
            }
        ),
    ],
)
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class NodeValueResponse(TypedDict):
    """A value as it was sent to RunningHub."""

    nodeId: str
    fieldName: str
    fieldType: NotRequired[str]
    fieldValue: str


class WaitingResponse(BaseModel):
    """Why a task is not running."""

    code: WaitCode
    message: str
    since: Time | None
    next_try_at: Time | None

    @classmethod
    def of(cls, waiting: Waiting) -> Self:
        return cls(
            code=waiting.code,
            message=waiting.message,
            since=_time(waiting.since_ms),
            next_try_at=_time(waiting.next_try_ms),
        )


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


class Cost(BaseModel):
    """The cost of a task, counted once however many files repeat it; decimal numbers as text."""

    coins: str | None = None
    money: str | None = None
    thirdPartyMoney: str | None = None


class OutputResponse(BaseModel):
    """One result file, and whether it is kept here."""

    n: int = Field(description="Its place in `result_data`.")
    state: OutputState
    url: str = Field(description="Relative; works without a token for OUTPUTS_LINK_TTL_S.")
    file_type: str | None = Field(description="RunningHub's `fileType`: the extension.")
    media_type: str
    bytes: int | None
    sha256: str | None
    node_id: str | None
    text: str | None = Field(description="A text result of up to 64 kB.")
    thumbnail_url: str | None = Field(
        description="Of a kept image: a WebP of at most 384 pixels a side; works as `url` does."
    )

    @classmethod
    def of(cls, output: Output, url: str) -> Self:
        values = {
            "n": output.n,
            "state": output.state,
            "url": url,
            "file_type": output.file_type,
            "media_type": output.media_type,
            "bytes": output.size,
            "sha256": output.sha256,
            "node_id": output.node_id,
            "text": output.text,
            "thumbnail_url": None if output.thumbnail_size is None else f"{url}&thumbnail=true",
        }
        return _constructed(cls, values)


Model = TypeVar("Model", bound=BaseModel)


def _constructed(model: type[Model], values: dict[str, Any]) -> Model:
    """`model_construct` where all fields are given: a list makes hundreds, and that visits every field."""
    constructed = model.__new__(model)
    object.__setattr__(constructed, "__dict__", values)
    object.__setattr__(constructed, "__pydantic_fields_set__", set(values))
    object.__setattr__(constructed, "__pydantic_extra__", None)
    object.__setattr__(constructed, "__pydantic_private__", None)
    return constructed


class ProgressResponse(BaseModel):
    """The step of the node that a run is at."""

    value: int
    max: int
    node_id: str | None


class TaskResponse(BaseModel):
    """A task as this service's database has it."""

    id: str
    status: TaskStatus
    created_at: Time
    updated_at: Time
    result_data: list[TaskResult] | None
    node_info: list[NodeValueResponse] | None = Field(description="null only where `truncated`.")
    webapp_id: str | None
    workflow_id: str | None
    runninghub_task_id: str | None
    account: str | None = Field(description="The RunningHub account it was sent with; null before.")
    owner: str | None = Field(description="The user who submitted it; null: an access token, or nobody.")
    error: TaskError | None
    waiting: WaitingResponse | None = Field(description="Why a PENDING task is not running.")
    queue_position: int | None = Field(description="While PENDING: 1 is next.")
    expected_seconds: int | None = Field(description="The usual run time of this app.")
    progress: ProgressResponse | None = Field(
        description="While RUNNING, with PROGRESS=true, where RunningHub reports steps; otherwise null."
    )
    outputs: list[OutputResponse] = Field(description="The result files; empty until SUCCESS.")
    cost: Cost | None = Field(description="What RunningHub charged for the task; null where it does not say.")
    metadata: dict[str, Any] | None = Field(description="The client's own JSON object.")
    rerun_of: str | None = Field(description="The task whose values it repeats.")
    deadline_at: Time | None = Field(description="When it is cancelled if it is not final by then.")
    truncated: bool = Field(
        False,
        exclude_if=lambda is_truncated: not is_truncated,
        description="In a list: `node_info` and `result_data` are left out; GET /tasks/{id} has them.",
    )

    @classmethod
    def of(
        cls,
        task: Task,
        expected_seconds: int | None,
        waiting: Waiting | None,
        outputs: list[OutputResponse],
    ) -> Self:
        progress = task.progress if task.status is TaskStatus.RUNNING else None
        values = {
            "id": task.id,
            "status": task.status,
            "created_at": task.created_at,
            "updated_at": task.updated_at,
            "result_data": task.result_data,
            "node_info": None if task.is_truncated else task.node_info,
            "webapp_id": task.webapp_id,
            "workflow_id": task.workflow_id,
            "runninghub_task_id": task.runninghub_task_id,
            "account": task.account,
            "owner": task.owner,
            "error": TaskError(**task.error) if task.error else None,
            "waiting": WaitingResponse.of(waiting) if waiting else None,
            "queue_position": task.queue_position,
            "expected_seconds": expected_seconds,
            "progress": ProgressResponse(**progress) if progress else None,
            "outputs": outputs,
            "cost": Cost(**task.cost) if task.cost else None,
            "metadata": task.metadata,
            "rerun_of": task.rerun_of,
            "deadline_at": _time(task.deadline_ms),
            "truncated": task.is_truncated,
        }
        return _constructed(cls, values)


def webhook_body(
    event: WebhookEvent, timestamp: str, task: Task, outputs: Sequence[tuple[Output, str]]
) -> str:
    """What is posted when a task has ended: the task as the API shows it."""
    shown = [OutputResponse.of(output, link) for output, link in outputs]
    data = TaskResponse.of(task, None, None, shown).model_dump(mode="json")
    return json.dumps({"type": event, "timestamp": timestamp, "data": data}, separators=(",", ":"))


class SubmitWarning(BaseModel):
    """What may be unintended: a value of a node, or an ignored member of the body (`nodeId` null)."""

    nodeId: str | None
    fieldName: str
    message: str


class SubmitResponse(BaseModel):
    task_id: str
    status: TaskStatus
    runninghub_task_id: str | None
    queue_position: int | None
    warnings: list[SubmitWarning]
    task: TaskResponse | None = Field(
        None,
        exclude_if=lambda task: task is None,
        description="Only with `?wait=`: the task at the end of the wait.",
    )

    @classmethod
    def of(cls, task: Task, warnings: list[dict[str, Any]], response: TaskResponse | None = None) -> Self:
        return cls.model_construct(
            task_id=task.id,
            status=task.status,
            runninghub_task_id=task.runninghub_task_id,
            queue_position=task.queue_position,
            warnings=[SubmitWarning(**warning) for warning in warnings],
            task=response,
        )


class TaskPage(BaseModel):
    tasks: list[TaskResponse]
    next_cursor: str | None = Field(description="For the next page; null at the end.")


def utc_text(time: datetime | None) -> str | None:
    """A time as rows have it: UTC with milliseconds."""
    return None if time is None else rfc3339(milliseconds(time))


class UploadResponse(BaseModel):
    fileName: str = Field(description="The `fieldValue` for an image, audio, video or file field.")
    fileType: str


def _text_or_null(value: object) -> str | None:
    """RunningHub documents numbers and sends text: text it is, and what is neither is left out."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


RunningHubText = Annotated[str | None, BeforeValidator(_text_or_null)]


class AccountResponse(BaseModel):
    remainCoins: RunningHubText = None
    currentTaskCounts: RunningHubText = None
    remainMoney: RunningHubText = None
    currency: RunningHubText = None
    apiType: RunningHubText = None


class LastRunningHubResponse(BaseModel):
    upstream_code: str = Field(description="RunningHub's code, `HTTP 502` and the like, or `no answer`.")
    at: Time


OutputsState = Literal["ok", "no_space", "unavailable", "off"]


class ReadyResponse(BaseModel):
    status: Literal["ready"]


class HealthResponse(BaseModel):
    status: Literal["ok", "unavailable"]
    database: Literal["ok", "unavailable"]
    runninghub: Literal["configured", "not_configured", "unreachable"]
    outputs: OutputsState = Field(description="Whether results are being kept; the log has details.")
    tasks: dict[TaskStatus, int]
    reason: str | None = Field(description="Why the database is unavailable.")
    watch: Literal["ok", "stalled"] = Field(description="The loop that asks RunningHub about tasks.")
    watch_last_beat: Time
    runninghub_last_answer: LastRunningHubResponse | None = Field(
        description="null: not asked since the start."
    )
