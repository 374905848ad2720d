"""Everything RunningHub: its paths, key, time limits, envelope and code table.

Follows RunningHub's API pages (https://www.runninghub.cn/runninghub-api-doc-cn/); v1 of each call.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import HttpxAiohttpClient
from pydantic_core import from_json

from config import Settings
from errors import (
    AppError,
    FileTooLarge,
    InsufficientBalance,
    InvalidNodeInfo,
    RunningHubNotConfigured,
    RunningHubRejected,
    RunningHubTimeout,
    RunningHubUnavailable,
    UnsupportedFile,
    WebappNotFound,
)
from files.upload import FileUpload

log = logging.getLogger(__name__)

APP_FORM = "/api/webapp/apiCallDemo"
UPLOAD = "/task/openapi/upload"
RUN = "/task/openapi/ai-app/run"
OUTPUTS = "/task/openapi/outputs"
CANCEL = "/task/openapi/cancel"
ACCOUNT = "/uc/openapi/accountStatus"
PATHS = (APP_FORM, UPLOAD, RUN, OUTPUTS, CANCEL, ACCOUNT)

UPLOAD_TIMEOUT_S = 300.0
CONNECT_TIMEOUT_S = 10.0
# Shorter than any server keeps an idle connection, so that a call seldom meets one that is just closing.
KEEPALIVE_S = 3.0
MAX_CONNECTIONS = 256
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_MESSAGE_CHARS = 1000

# What RunningHub's codes mean here; every other code is RunningHubRejected.
FULL = frozenset({415, 421, 814, 1003, 1520})
TASK_UNKNOWN = frozenset({423, 807, 1004})
RUN_ENDED_BADLY = frozenset({805, 1006, 1013, 1015, 1501, 1504, 1505, 1516, 1517, 1519, 1601, 2001})
QUEUED, RUNNING = 813, 804
FILE_TYPE_WORDS = ("type", "format", "support", "类型", "格式")
NODE_INFO_MISMATCH = re.compile(r"nodeId=([^,()]*),\s*fieldName=([^,()]*),\s*reason=([^()]*)\)")
NODE_INFO_REFUSED = frozenset({433, 803, 1101})
ERRORS: dict[int, type[AppError]] = {
    **dict.fromkeys((414, 416, 605, 812), InsufficientBalance),
    **dict.fromkeys(NODE_INFO_REFUSED, InvalidNodeInfo),
    **dict.fromkeys((809, 1008), FileTooLarge),
    901: WebappNotFound,
}
ADVICE: dict[type[AppError], str] = {
    InsufficientBalance: "Top up the RunningHub account, then submit again.",
    InvalidNodeInfo: "Fetch the form anew with /get_node_info and correct the values.",
    FileTooLarge: "RunningHub takes files up to 30 MB; for more, pass a public URL as the fieldValue.",
    WebappNotFound: "Check the app's id, and that the app and the key belong to this RunningHub host.",
    UnsupportedFile: "RunningHub takes jpg, png, webp, mp3, wav, flac, mp4, avi, mov, mkv and zip.",
    RunningHubRejected: "Look the code up in RunningHub's documentation; check the API key and the app.",
}


class _NoAnswer(Exception):
    """The call was sent, and the connection broke before an answer came."""


class NotSent(Exception):
    """The call did not reach RunningHub: nothing was started, and it may be made again."""


class RunningHubFull(Exception):
    """RunningHub has no free slot (or limits the rate): nothing was started; later it may be."""

    def __init__(self, upstream: dict[str, Any]) -> None:
        super().__init__("RunningHub takes no further task now")
        self.upstream = upstream


class RunState(Enum):
    """What RunningHub says of a task."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PollResult:
    """RunningHub's word on a task: `results` when FINISHED, `reason` when FAILED and it gave one."""

    state: RunState
    results: list[Any] | None = None
    reason: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """RunningHub took a task. `node_errors`: nodes that it warned of although it took the task."""

    runninghub_task_id: str
    is_running: bool
    node_errors: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class LastResponse:
    """What RunningHub answered last (its code, or the lack of one), and when (seconds since 1970)."""

    word: str
    at: float


class WebappService:
    """RunningHub's calls over one client.

    Each raises the AppError that the code table names, RunningHubNotConfigured without a key, and
    RunningHubUnavailable or RunningHubTimeout when no usable answer came.
    """

    def __init__(self, client: httpx.AsyncClient, settings: Settings) -> None:
        self._client = client
        self._key = settings.runninghub_api_key
        self._timeout_s = settings.runninghub_timeout_s
        self._urls = {path: httpx.URL(settings.runninghub_base_url + path) for path in PATHS}
        self._extensions = {"timeout": client.timeout.as_dict()}
        self.last_response: LastResponse | None = None

    @property
    def is_configured(self) -> bool:
        return self._key is not None

    async def app_data(self, webapp_id: str) -> dict[str, Any]:
        """The `data` of apiCallDemo. It holds the key (in `curl`): pass on only what is listed."""
        params = {"apiKey": self._secret(), "webappId": webapp_id}
        return _object(await self._call("GET", APP_FORM, params=params))

    async def upload(self, file: FileUpload) -> dict[str, str]:
        """Relay a file as it arrives; answers `{"fileName", "fileType"}`. Raises what reading it raised."""
        headers, content = file.encode({"apiKey": self._secret(), "fileType": "input"})
        timeout_s = max(UPLOAD_TIMEOUT_S, self._timeout_s)
        try:
            data = _object(
                await self._call("POST", UPLOAD, headers=headers, content=content, timeout_s=timeout_s)
            )
        except AppError as problem:
            raise file.error or problem from problem
        name, kind = data.get("fileName"), data.get("fileType")
        if not isinstance(name, str) or not name:
            raise _unusable()
        return {"fileName": name, "fileType": kind if isinstance(kind, str) else "input"}

    async def run(
        self,
        webapp_id: str,
        node_info: Sequence[Mapping[str, str]],
        *,
        instance_type: str | None = None,
        access_password: str | None = None,
        webhook_url: str | None = None,
    ) -> Accepted:
        """The paid call. Raises NotSent, RunningHubFull, or an AppError.

        RunningHubUnavailable and RunningHubTimeout mean: sent, and nobody knows whether it runs.
        """
        optional = {
            "instanceType": instance_type,
            "accessPassword": access_password,
            "webhookUrl": webhook_url,
        }
        body = {
            "apiKey": self._secret(),
            "webappId": webapp_id,
            "nodeInfoList": list(node_info),
            **{name: value for name, value in optional.items() if value is not None},
        }
        try:
            envelope = await self._send("POST", RUN, json=body)
        except _NoAnswer as exc:
            raise _too_late() from exc
        data = _object(self._data(RUN, envelope))
        task_id = _id_text(data.get("taskId"))
        if not task_id:
            raise _unusable()
        return Accepted(task_id, data.get("taskStatus") == "RUNNING", self._node_errors(data))

    async def poll(self, runninghub_task_id: str) -> PollResult:
        """Ask for a task's outcome (`/task/openapi/outputs`): 804 and 813 go on, 805 failed, 0 is done."""
        body = {"apiKey": self._secret(), "taskId": runninghub_task_id}
        return self._poll_result(await self._envelope("POST", OUTPUTS, json=body))

    async def cancel(self, runninghub_task_id: str) -> None:
        """Tell RunningHub to stop a task; that it does not know the task is no error."""
        body = {"apiKey": self._secret(), "taskId": runninghub_task_id}
        envelope = await self._envelope("POST", CANCEL, json=body)
        if envelope["code"] not in TASK_UNKNOWN:
            self._data(CANCEL, envelope)

    async def account(self) -> dict[str, Any]:
        """The account's coins and running tasks; this call alone spells the key's name in lower case."""
        return _object(await self._call("POST", ACCOUNT, json={"apikey": self._secret()}))

    def _secret(self) -> str:
        if self._key is None:
            raise RunningHubNotConfigured
        return self._key.get_secret_value()

    async def _call(self, method: str, path: str, **parts: Any) -> Any:
        return self._data(path, await self._envelope(method, path, **parts))

    async def _envelope(self, method: str, path: str, **parts: Any) -> dict[str, Any]:
        """Send a call that costs nothing: that it was not taken or not answered is a problem like others."""
        try:
            return await self._send(method, path, **parts)
        except NotSent as exc:
            raise RunningHubUnavailable(
                "RunningHub cannot be reached. Check RUNNINGHUB_BASE_URL and the network, and try again.",
                retry_after=5,
            ) from exc
        except _NoAnswer as exc:
            raise RunningHubUnavailable(
                "RunningHub broke the connection. Try again shortly.", retry_after=5
            ) from exc
        except RunningHubFull as exc:
            raise _busy(exc.upstream) from exc

    async def _send(
        self, method: str, path: str, *, timeout_s: float | None = None, **parts: Any
    ) -> dict[str, Any]:
        """The one door: send, and answer RunningHub's `{"code", "msg", "data"}` whatever the code."""
        request = self._request(method, path, **parts)
        began = time.perf_counter()
        word = "no answer"
        try:
            async with asyncio.timeout(timeout_s or self._timeout_s):
                response = await self._client.send(request, stream=True)
                try:
                    word = f"HTTP {response.status_code}"
                    envelope = _parse(response.status_code, await _read(response))
                finally:
                    await response.aclose()
                word = str(envelope["code"])
                return envelope
        except (TimeoutError, httpx.RequestError, aiohttp.ClientError) as exc:
            raise _not_arrived(exc) from exc
        finally:
            self.last_response = LastResponse(word, time.time())
            duration_ms = round((time.perf_counter() - began) * 1000, 1)
            log.debug(
                "RunningHub called", extra={"call": path, "upstream_code": word, "duration_ms": duration_ms}
            )

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        json: Any = None,
        content: AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        """Only the headers RunningHub asks for, which also costs less than the client's own merging."""
        return httpx.Request(
            method,
            self._urls[path],
            params=params,
            json=json,
            content=content,
            # Some keys are only taken from this header, others only from the body: both are sent.
            headers={"Authorization": f"Bearer {self._secret()}", **(headers or {})},
            extensions=self._extensions,
        )

    def _data(self, path: str, envelope: dict[str, Any]) -> Any:
        """RunningHub's `data`; raises what the code table says of any code but 0."""
        code = envelope["code"]
        if code == 0:
            return envelope.get("data")
        upstream = {"code": code, "msg": self._text(envelope.get("msg"))}
        if code in FULL:
            raise RunningHubFull(upstream) if path == RUN else _busy(upstream)
        kind = _error_kind(path, code, upstream["msg"].lower())
        raise kind(
            f"RunningHub answered {code} ({upstream['msg'] or 'no message'}). {ADVICE[kind]}",
            upstream=upstream,
            errors=self._field_errors(envelope) if kind is InvalidNodeInfo else None,
        )

    def _poll_result(self, envelope: dict[str, Any]) -> PollResult:
        """The table of runninghub's /outputs page: 804 and 813 go on, 805 failed, 0 with a list is done."""
        code, data = envelope["code"], envelope.get("data")
        if code == 0 and isinstance(data, list):
            return PollResult(RunState.FINISHED, results=data)
        if code == RUNNING or (code == 0 and data is None):
            return PollResult(RunState.RUNNING)
        if code == QUEUED:
            return PollResult(RunState.QUEUED)
        if code in TASK_UNKNOWN:
            return PollResult(RunState.UNKNOWN)
        if code in RUN_ENDED_BADLY:
            return PollResult(RunState.FAILED, reason=self._reason(envelope))
        if code != 0:
            self._data(OUTPUTS, envelope)
        raise _unusable()

    def _reason(self, envelope: dict[str, Any]) -> dict[str, str] | None:
        """Why a run failed, for people; None where RunningHub gives no reason, as after a cancel."""
        failed = _json_object(_json_object(envelope.get("data")).get("failedReason"))
        if not failed and envelope["code"] == 805:
            return None
        words = failed.get("exception_message") or failed.get("exception_type") or envelope.get("msg")
        reason = {"message": self._text(words) or "RunningHub says that the task failed, and not why"}
        for name in ("node_id", "node_name"):
            if failed.get(name):
                reason[name] = self._text(failed[name])
        return reason

    def _node_errors(self, data: dict[str, Any]) -> dict[str, str] | None:
        """The first of the node errors that RunningHub may name beside code 0 (in `promptTips`)."""
        for error in self._comfy_errors(_json_object(data.get("promptTips"))):
            return {"message": error["msg"], "node_id": error["nodeId"], "node_name": error["nodeName"]}
        return None

    def _field_errors(self, envelope: dict[str, Any]) -> list[dict[str, Any]]:
        """What RunningHub said of single fields: 803 in its newer dialect, and ComfyUI's texts of 433."""
        message = self._text(envelope.get("msg"))
        found = [
            dict(zip(("nodeId", "fieldName", "msg"), map(str.strip, groups), strict=True))
            for groups in NODE_INFO_MISMATCH.findall(message)
        ]
        data = _json_object(envelope.get("data"))
        for tips in (_json_object(envelope.get("msg")), data, _json_object(data.get("promptTips"))):
            found += [
                {name: error[name] for name in ("nodeId", "fieldName", "msg")}
                for error in self._comfy_errors(tips)
            ]
        return found or [{"nodeId": None, "fieldName": None, "msg": message}]

    def _comfy_errors(self, tips: dict[str, Any]) -> list[dict[str, str]]:
        """ComfyUI's `{"node_errors": {"<nodeId>": {"errors": [{"message", …}], "class_type": …}}}`."""
        found = []
        for node_id, node in _json_object(tips.get("node_errors")).items():
            for error in _objects(_json_object(node).get("errors")):
                words = (self._text(error.get("message")), self._text(error.get("details")))
                found.append(
                    {
                        "nodeId": self._text(node_id),
                        "nodeName": self._text(_json_object(node).get("class_type")),
                        "fieldName": self._text(_json_object(error.get("extra_info")).get("input_name")),
                        "msg": ": ".join(filter(None, words)),
                    }
                )
        return found

    def _text(self, value: Any) -> str:
        text = str(value).strip() if isinstance(value, str | int) else ""
        return text.replace(self._secret(), "***")[:MAX_MESSAGE_CHARS]


def create_client(settings: Settings) -> httpx.AsyncClient:
    """The process's one client, over aiohttp's connections: httpx's own pool slows down with their number."""
    return HttpxAiohttpClient(
        base_url=settings.runninghub_base_url,
        timeout=httpx.Timeout(
            settings.runninghub_timeout_s,
            connect=min(CONNECT_TIMEOUT_S, settings.runninghub_timeout_s * 0.8),
            pool=settings.runninghub_timeout_s * 0.9,
        ),
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_S),
        follow_redirects=False,
    )


async def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise _unusable()
    return bytes(content)


def _parse(status: int, content: bytes) -> dict[str, Any]:
    if status == 429:
        raise RunningHubFull({"code": 429, "msg": "HTTP 429"})
    envelope = _json_object(content)
    code = envelope.get("code")
    if isinstance(code, str) and re.fullmatch(r"-?\d{1,9}", code):
        code = int(code)
    if status < 500 and isinstance(code, int) and not isinstance(code, bool):
        return {**envelope, "code": code}
    if 400 <= status < 500 and status != 408:
        raise RunningHubRejected(
            f"RunningHub refused the call with HTTP {status}. Check RUNNINGHUB_BASE_URL and the key.",
            upstream={"code": status, "msg": f"HTTP {status}"},
        )
    raise RunningHubUnavailable(
        f"RunningHub answered HTTP {status} without a usable reply. Try again shortly.", retry_after=5
    )


def _not_arrived(exc: Exception) -> Exception:
    if _was_not_sent(exc):
        return NotSent()
    if isinstance(exc, TimeoutError | httpx.ReadTimeout | httpx.WriteTimeout):
        return _too_late()
    return _NoAnswer()


def _was_not_sent(exc: Exception) -> bool:
    """Whether no connection was made: refused, name not found, no TLS, or the handshake not answered.

    httpx-aiohttp raises ConnectTimeout also for a connection that broke after the request was sent, so
    aiohttp's own exception decides where there is one.
    """
    if isinstance(exc.__cause__, aiohttp.ClientError):
        return isinstance(exc.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def _error_kind(path: str, code: int, message: str) -> type[AppError]:
    if code == 1 and path in {APP_FORM, RUN} and "webapp" in message:
        return WebappNotFound
    if path == UPLOAD and code in {301, 808} and any(word in message for word in FILE_TYPE_WORDS):
        return UnsupportedFile
    return ERRORS.get(code, RunningHubRejected)


def _too_late() -> RunningHubTimeout:
    return RunningHubTimeout("The call was sent and RunningHub did not answer in time.", retry_after=5)


def _unusable() -> RunningHubUnavailable:
    return RunningHubUnavailable("RunningHub's reply could not be read. Try again shortly.", retry_after=5)


def _busy(upstream: dict[str, Any]) -> RunningHubRejected:
    return RunningHubRejected("RunningHub is busy. Try again shortly.", upstream=upstream, retry_after=5)


def _id_text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _json_object(value: Any) -> dict[str, Any]:
    """An object, or JSON text of one; else an empty one."""
    if isinstance(value, str | bytes):
        try:
            value = _from_json(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _from_json(text: str | bytes) -> Any:
    """JSON that can be stored and answered: half surrogate pairs, as of a text that was cut, become `?`."""
    try:
        return from_json(text)
    except ValueError:
        return from_json(json.dumps(json.loads(text), ensure_ascii=False).encode(errors="replace"))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _unusable()
    return data
