"""The operations at RunningHub, one method for each call.

Follows RunningHub's API pages (https://www.runninghub.cn/runninghub-api-doc-cn/), v1 where both exist.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, TypeVar

from errors import AppError, RunningHubUnavailable, UnsupportedFile
from files.upload import FileUpload
from models import Json, Kind
from runninghub import codes
from runninghub.accounts import Account
from runninghub.client import NoReply, NotHttp, NotSent, PoolName, no_reply_error
from runninghub.codes import Refusal
from runninghub.replies import (
    PollResult,
    Reply,
    RunResult,
    count_of,
    json_object,
    poll_result,
    query_result,
    run_result,
    unreadable,
)

T = TypeVar("T")

APP_FORM = "/api/webapp/apiCallDemo"
WORKFLOW = "/api/openapi/getJsonApiFormat"
UPLOAD = "/task/openapi/upload"
RUN_WEBAPP = "/task/openapi/ai-app/run"
RUN_WORKFLOW = "/task/openapi/create"
MODELS = "/openapi/v2/"
OUTPUTS = "/task/openapi/outputs"
QUERY = "/openapi/v2/query"
CANCEL = "/task/openapi/cancel"
ACCOUNT = "/uc/openapi/accountStatus"
UPLOAD_MEDIA = "/openapi/v2/media/upload/binary"
QUEUE = "/openapi/v2/queue/status"
WEBAPPS = "/openapi/v2/aiapp/list"

UPLOAD_TIMEOUT_S = 300.0
PROBE_TIMEOUT_S = 10.0
# What RunningHub documents that an upload may be.
UPLOAD_TYPES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".mp3", ".wav", ".flac", ".mp4", ".avi", ".mov", ".mkv", ".zip"}
)
UPLOAD_REFUSED = frozenset({301, 808})


@dataclass(frozen=True, slots=True)
class Run:
    """A paid call. `options` are further members of the body; of a model, the whole body."""

    kind: Kind
    target: str
    node_info: list[dict[str, str]] = field(default_factory=list)
    instance_type: str | None = None
    access_password: str | None = None
    webhook_url: str | None = None
    options: dict[str, Json] = field(default_factory=dict)

    @property
    def path(self) -> str:
        if self.kind is Kind.MODEL:
            return MODELS + self.target
        return RUN_WEBAPP if self.kind is Kind.WEBAPP else RUN_WORKFLOW

    def body(self) -> dict[str, Json]:
        """The body without the key, with the members that were given."""
        optional = {"webhookUrl": self.webhook_url}
        if self.kind is Kind.MODEL:
            return {**self.options, **_given(optional)}
        optional |= {"instanceType": self.instance_type, "accessPassword": self.access_password}
        target = "webappId" if self.kind is Kind.WEBAPP else "workflowId"
        return {target: self.target, "nodeInfoList": self.node_info, **self.options, **_given(optional)}

    @property
    def secrets(self) -> list[str]:
        """What RunningHub may repeat in its reply and must not be stored or passed on."""
        return [secret for secret in (self.access_password, self.webhook_url) if secret]


def _given(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


class WebappService:
    """RunningHub's calls. Each takes the account that makes it.

    Free calls raise the AppError that the code table names, and RunningHubUnavailable or RunningHubTimeout
    when no usable reply came. Identical ones that are under way at the same time share one call.
    """

    def __init__(self) -> None:
        self._shared: dict[Hashable, asyncio.Task[Any]] = {}

    async def app_data(self, account: Account, webapp_id: str) -> dict[str, Any]:
        """The `data` of apiCallDemo: https://www.runninghub.cn/runninghub-api-doc-cn/ "webapp inputs"."""
        params = account.client.with_key({"webappId": webapp_id})
        return _object((await account.client.free_call("GET", APP_FORM, params=params)).raise_for_code())

    async def workflow_graph(self, account: Account, workflow_id: str) -> Any:
        """A workflow's graph in ComfyUI's API format, a JSON text or an object."""
        body = account.client.with_key({"workflowId": workflow_id})
        data = _object((await account.client.free_call("POST", WORKFLOW, json=body)).raise_for_code())
        return data.get("prompt")

    async def upload(self, account: Account, file: FileUpload) -> dict[str, str]:
        """Relay a file as it arrives; returns `{"fileName", "fileType"}`. Raises what reading it raised."""
        data = await self._upload(account, UPLOAD, account.client.with_key({"fileType": "input"}), file)
        name, kind = data.get("fileName"), data.get("fileType")
        if not isinstance(name, str) or not name:
            raise unreadable()
        return {"fileName": name, "fileType": kind if isinstance(kind, str) else "input"}

    async def upload_media(self, account: Account, file: FileUpload) -> dict[str, Any]:
        """The same with v2's upload, whose `data` also has a `download_url` for standard models."""
        data = await self._upload(account, UPLOAD_MEDIA, {}, file)
        if not isinstance(data.get("fileName"), str):
            raise unreadable()
        return data

    async def _upload(
        self, account: Account, path: str, fields: dict[str, str], file: FileUpload
    ) -> dict[str, Any]:
        headers, content = file.encode(fields)
        try:
            reply = await account.client.free_call(
                "POST",
                path,
                pool=PoolName.FILES,
                timeout_s=UPLOAD_TIMEOUT_S,
                headers=headers,
                content=content,
            )
            return _object(_uploaded(reply, file.filename))
        except AppError as problem:
            raise file.error or problem from problem

    async def run(self, account: Account, run: Run) -> RunResult:
        """The paid call; never raises for what RunningHub or the network does."""
        client = account.client
        body = run.body() if run.kind is Kind.MODEL else client.with_key(run.body())
        try:
            reply = await client.call(
                "POST",
                run.path,
                name="model" if run.kind is Kind.MODEL else None,
                pool=PoolName.PAID,
                secrets=run.secrets,
                json=body,
            )
        except NotSent:
            unreachable = RunningHubUnavailable("RunningHub cannot be reached.", retry_after=5)
            return RunResult(Refusal.NOT_SENT, error=unreachable)
        except NoReply:  # whatever broke it: it was sent, and no response was received
            problem = no_reply_error(NoReply(is_timeout=True))
            return RunResult(Refusal.UNKNOWN, error=problem)
        except NotHttp:
            return RunResult(Refusal.UNKNOWN, error=unreadable())
        return run_result(reply)

    async def poll(
        self, account: Account, runninghub_task_id: str, *, kind: Kind = Kind.WEBAPP
    ) -> PollResult:
        """A task's state (`/task/openapi/outputs`; of a standard model `/openapi/v2/query`)."""
        call = self._query if kind is Kind.MODEL else self._outputs
        key = ("poll", kind is Kind.MODEL, account.name, runninghub_task_id)
        return await self._share(key, lambda: call(account, runninghub_task_id))

    async def _outputs(self, account: Account, runninghub_task_id: str) -> PollResult:
        body = account.client.with_key({"taskId": runninghub_task_id})
        return poll_result(await account.client.free_call("POST", OUTPUTS, json=body))

    async def _query(self, account: Account, runninghub_task_id: str) -> PollResult:
        return query_result(
            await account.client.free_call("POST", QUERY, json={"taskId": runninghub_task_id})
        )

    async def cancel(self, account: Account, runninghub_task_id: str) -> None:
        """Tell RunningHub to stop a task; that it does not know the task is no error."""
        body = account.client.with_key({"taskId": runninghub_task_id})
        reply = await account.client.free_call("POST", CANCEL, json=body)
        if reply.code not in codes.TASK_UNKNOWN:
            reply.raise_for_code()

    async def account_status(self, account: Account) -> dict[str, Any]:
        """The account's coins and running tasks; this call alone spells the key's name in lower case."""
        return _object((await self.probe(account)).raise_for_code())

    async def probe(self, account: Account) -> Reply:
        """accountStatus with any code: free, and it needs the same key as a paid call."""
        return await self._share(("account", account.name), lambda: self._account_status(account))

    async def _account_status(self, account: Account) -> Reply:
        body = account.client.with_key({}, name="apikey")
        return await account.client.free_call("POST", ACCOUNT, json=body, timeout_s=PROBE_TIMEOUT_S)

    async def concurrent_limit(self, account: Account) -> int | None:
        """How many tasks the account may run at once (`queue/status`); None: RunningHub does not say."""
        reply = await self._queue_status(account)
        return count_of(json_object(reply.data).get("concurrentLimit")) or None if reply.code == 0 else None

    async def queue_status(self, account: Account) -> dict[str, Any]:
        """How many tasks the account may have at once and how many it has, as RunningHub returns it."""
        return _object((await self._queue_status(account)).raise_for_code())

    async def _queue_status(self, account: Account) -> Reply:
        return await account.client.free_call("GET", QUEUE, timeout_s=PROBE_TIMEOUT_S)

    async def list_webapps(self, account: Account, *, current: int, size: int, sort: str) -> dict[str, Any]:
        """A page of RunningHub's own list of apps (`/openapi/v2/aiapp/list`), its `data`."""
        body = {"current": current, "size": size, "sort": sort, "days": 30}
        reply = await self._share(
            ("webapps", account.base_url, current, size, sort),
            lambda: account.client.free_call("POST", WEBAPPS, json=body),
        )
        return _object(reply.raise_for_code())

    async def _share(self, key: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """The result of the identical call that is under way, else of a new one."""
        if not (shared := self._shared.get(key)):
            shared = self._shared[key] = asyncio.ensure_future(_awaited(call))
            shared.add_done_callback(lambda done: self._forget(key, done))
        # Shielded: one who goes away does not end the call for the others.
        result: T = await asyncio.shield(shared)
        return result

    def _forget(self, key: Hashable, done: asyncio.Task[Any]) -> None:
        self._shared.pop(key, None)
        if not done.cancelled():
            done.exception()  # where all who waited have gone, asyncio would log it as never retrieved

    async def close(self) -> None:
        """End the calls under way."""
        for call in self._shared.values():
            call.cancel()
        await asyncio.gather(*self._shared.values(), return_exceptions=True)


async def _awaited(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


def _uploaded(reply: Reply, filename: str) -> Any:
    is_documented = PurePath(filename).suffix.lower() in UPLOAD_TYPES
    if reply.code in UPLOAD_REFUSED and not is_documented:
        raise UnsupportedFile(
            f"RunningHub refused this file. {codes.ADVICE[UnsupportedFile]}", upstream=reply.upstream
        )
    return reply.raise_for_code()


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise unreadable()
    return data
