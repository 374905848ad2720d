"""Every problem this service answers with: a stable `code`, an HTTP status and a sentence for people."""

from typing import Any, ClassVar


class AppError(Exception):
    """One problem of the contract's table; `main` turns it into `application/problem+json`.

    `upstream` is RunningHub's own `{"code", "msg"}`; `errors` lists what was wrong where;
    `retry_after` is in seconds; `task_id` names the row that the problem left behind.
    """

    status_code: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        upstream: dict[str, Any] | None = None,
        errors: list[dict[str, Any]] | None = None,
        retry_after: int | None = None,
        task_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.upstream = upstream
        self.errors = errors
        self.retry_after = retry_after
        self.task_id = task_id


class InvalidRequest(AppError):
    """Body, query or path does not fit."""

    status_code, code = 422, "invalid_request"


class InvalidNodeInfo(AppError):
    """A value does not fit its node, found here or by RunningHub."""

    status_code, code = 422, "invalid_node_info"


class Unauthorized(AppError):
    """The access token is missing or wrong."""

    status_code, code = 401, "unauthorized"


class ForbiddenHost(AppError):
    """No tokens are set and the request is addressed to a name that is not allowed."""

    status_code, code = 403, "forbidden_host"


class TaskNotFound(AppError):
    """The task is neither here nor at RunningHub."""

    status_code, code = 404, "task_not_found"


class WebappNotFound(AppError):
    """RunningHub does not know the app."""

    status_code, code = 404, "webapp_not_found"


class NotFound(AppError):
    """There is no such route."""

    status_code, code = 404, "not_found"


class MethodNotAllowed(AppError):
    """The route exists, but not with this method."""

    status_code, code = 405, "method_not_allowed"


class NotCancellable(AppError):
    """The task is final."""

    status_code, code = 409, "not_cancellable"


class NotUnknown(AppError):
    """Only a SUBMIT_UNKNOWN task can be settled."""

    status_code, code = 409, "not_unknown"


class IdempotencyKeyReused(AppError):
    """The same Idempotency-Key came with another body."""

    status_code, code = 422, "idempotency_key_reused"


class FileTooLarge(AppError):
    """The upload is over MAX_UPLOAD_MB."""

    status_code, code = 413, "file_too_large"


class UnsupportedFile(AppError):
    """RunningHub does not take this kind of file."""

    status_code, code = 415, "unsupported_file"


class TooManyPending(AppError):
    """MAX_PENDING_TASKS are waiting already."""

    status_code, code = 429, "too_many_pending"


class RateLimited(AppError):
    """The client is past RATE_LIMIT_PER_MINUTE."""

    status_code, code = 429, "rate_limited"


class InsufficientBalance(AppError):
    """RunningHub says that the account is out of coins or money."""

    status_code, code = 402, "insufficient_balance"


class RunningHubNotConfigured(AppError):
    """No API key is set."""

    status_code, code = 503, "runninghub_not_configured"

    def __init__(self) -> None:
        super().__init__(
            "No RunningHub API key is set. Put RUNNINGHUB_API_KEY=... into the environment or the .env file"
            " and start the service again."
        )


class RunningHubRejected(AppError):
    """RunningHub answered with a code that has no better name here."""

    status_code, code = 502, "runninghub_rejected"


class RunningHubUnavailable(AppError):
    """RunningHub was not reached, answered 5xx, or answered something that is not its JSON."""

    status_code, code = 503, "runninghub_unavailable"


class RunningHubTimeout(AppError):
    """RunningHub did not answer in time."""

    status_code, code = 504, "runninghub_timeout"
