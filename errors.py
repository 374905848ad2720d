"""Every problem this service responds with: a stable `code`, an HTTP status and a sentence for people."""

from typing import Any, ClassVar, Self


class AppError(Exception):
    """One problem of the contract's table; `api.problems` converts it to `application/problem+json`.

    `upstream` is RunningHub's own `{"code", "msg"}`; `errors` lists what was wrong where;
    `retry_after` is in seconds; `task_id` names the row that the problem left behind or collided with.
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

    def about(self, task_id: str) -> Self:
        """The same problem for one request, with the task that it left behind."""
        return type(self)(
            self.message,
            upstream=self.upstream,
            errors=self.errors,
            retry_after=self.retry_after,
            task_id=task_id,
        )


class InvalidRequest(AppError):
    """Body, query or path is invalid."""

    status_code, code = 422, "invalid_request"

    def __init__(
        self, message: str, *, errors: list[dict[str, Any]] | None = None, **members: Any
    ) -> None:  # clients read `errors`: it is never missing
        super().__init__(message, errors=errors or [{"loc": ["body"], "msg": message}], **members)


class InvalidNodeInfo(AppError):
    """A value is not valid for its node, detected here or by RunningHub."""

    status_code, code = 422, "invalid_node_info"


class Unauthorized(AppError):
    """The access token is missing or invalid."""

    status_code, code = 401, "unauthorized"


class Forbidden(AppError):
    """The token does not allow this, or the address is not allowed."""

    status_code, code = 403, "forbidden"


class ForbiddenHost(AppError):
    """The request is addressed to a host, or comes from an origin, that is not allowed."""

    status_code, code = 403, "forbidden_host"


class TaskNotFound(AppError):
    """The task is found neither here nor at RunningHub."""

    status_code, code = 404, "task_not_found"


class WebappNotFound(AppError):
    """RunningHub does not know the app."""

    status_code, code = 404, "webapp_not_found"


class WorkflowNotFound(AppError):
    """RunningHub does not know the workflow."""

    status_code, code = 404, "workflow_not_found"


class OutputNotFound(AppError):
    """The task has no such output."""

    status_code, code = 404, "output_not_found"


class OutputGone(AppError):
    """The output was not kept, or no longer is, and RunningHub's link has expired."""

    status_code, code = 410, "output_gone"


class OutputUnavailable(AppError):
    """The place where outputs are kept does not respond."""

    status_code, code = 503, "output_unavailable"


class RangeNotSatisfiable(AppError):
    """The range lies outside the output."""

    status_code, code = 416, "range_not_satisfiable"


class UserNotFound(AppError):
    """There is no user with this name."""

    status_code, code = 404, "user_not_found"


class UserExists(AppError):
    """There is a user with this name already."""

    status_code, code = 409, "user_exists"


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


class NotFinal(AppError):
    """The task is still in progress."""

    status_code, code = 409, "not_final"


class NotDeletable(AppError):
    """Only a final task can be deleted."""

    status_code, code = 409, "not_deletable"


class AlreadyKnown(AppError):
    """Another task has this RunningHub id."""

    status_code, code = 409, "already_known"


class IdempotencyKeyReused(AppError):
    """The same Idempotency-Key was sent with a different body."""

    status_code, code = 422, "idempotency_key_reused"


class BodyTooLarge(AppError):
    """The body is larger than 4 MB."""

    status_code, code = 413, "body_too_large"


class FileTooLarge(AppError):
    """The upload is over MAX_UPLOAD_MB."""

    status_code, code = 413, "file_too_large"


class UnsupportedFile(AppError):
    """RunningHub does not accept this type of file."""

    status_code, code = 415, "unsupported_file"


class TooManyPending(AppError):
    """MAX_PENDING_TASKS tasks are waiting."""

    status_code, code = 429, "too_many_pending"


class RateLimited(AppError):
    """The client is over RATE_LIMIT_PER_MINUTE."""

    status_code, code = 429, "rate_limited"


class QuotaExceeded(AppError):
    """The user's quota of tasks for today, or of waiting tasks, is used up."""

    status_code, code = 429, "quota_exceeded"


class BudgetExceeded(AppError):
    """The user's coins for this month are used up."""

    status_code, code = 402, "budget_exceeded"


class InsufficientBalance(AppError):
    """RunningHub reports that the account is out of coins or money."""

    status_code, code = 402, "insufficient_balance"


class DatabaseUnavailable(AppError):
    """The database is locked, full or unreachable."""

    status_code, code = 503, "database_unavailable"


class NotReady(AppError):
    """This instance should get no requests now: its database cannot be used, or it is stopping."""

    status_code, code = 503, "not_ready"


class ServiceStopping(AppError):
    """The service is being stopped and did not finish the request."""

    status_code, code = 503, "service_stopping"


class RunningHubNotConfigured(AppError):
    """No API key is set."""

    status_code, code = 503, "runninghub_not_configured"

    def __init__(self) -> None:
        super().__init__(
            "No RunningHub API key is set. Put RUNNINGHUB_API_KEY=... into the environment or the .env file"
            " and start the service again."
        )


class RunningHubRejected(AppError):
    """RunningHub returned a code that has no more specific problem here."""

    status_code, code = 502, "runninghub_rejected"


class RunningHubUnavailable(AppError):
    """RunningHub was not reached, returned 5xx, or sent something that is not its JSON."""

    status_code, code = 503, "runninghub_unavailable"


class RunningHubTimeout(AppError):
    """RunningHub did not respond in time."""

    status_code, code = 504, "runninghub_timeout"
