"""The flat object that RunningHub's v2 calls about tasks return."""

from typing import Any


def task_object(
    task_id: str,
    status: str,
    *,
    client_id: str = "",
    prompt_tips: str = "",
    error: tuple[str, str] = ("", ""),
    results: list[dict[str, Any]] | None = None,
    failed_reason: dict[str, str] | None = None,
    usage: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A task, or with an error none; without an error the code is an empty string."""
    return {
        "taskId": task_id,
        "status": status,
        "errorCode": error[0],
        "errorMessage": error[1],
        "results": results,
        "clientId": client_id,
        "promptTips": prompt_tips,
        "failedReason": failed_reason or {},
        "usage": usage,
    }
