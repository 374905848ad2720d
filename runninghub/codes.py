"""What RunningHub's codes mean: one table for the paid call, one for all others.

Codes: https://www.runninghub.cn/runninghub-api-doc-cn/ (section on error codes); many are documented nowhere
and were seen by others, so that an unknown code has to be expected everywhere.
"""

from enum import Enum

from errors import (
    AppError,
    FileTooLarge,
    InsufficientBalance,
    InvalidNodeInfo,
    RunningHubRejected,
    UnsupportedFile,
    WebappNotFound,
    WorkflowNotFound,
)


class Refusal(Enum):
    """How the response to a paid call is handled; see docs/task-lifecycle.md, "Refusals"."""

    ACCEPTED = "accepted"
    NOT_SENT = "not sent"
    FULL = "full"
    NO_BALANCE = "no balance"
    KEY_REFUSED = "key refused"
    UNKNOWN = "unknown whether it runs"
    TASK_ERROR = "error of the task"


REFUSALS: dict[Refusal, frozenset[int]] = {
    Refusal.ACCEPTED: frozenset({0}),
    Refusal.FULL: frozenset({415, 421, 814, 1003, 1520}),
    Refusal.NO_BALANCE: frozenset({414, 416, 605, 812}),
    Refusal.KEY_REFUSED: frozenset({401, -1, 801, 802, 806, 811, 1002, 1014}),
    Refusal.UNKNOWN: frozenset({500, 1000, 1005, 1010, 1011, 1012}),
}
HTTP_REFUSALS: dict[int, Refusal] = {
    401: Refusal.KEY_REFUSED,
    403: Refusal.KEY_REFUSED,
    429: Refusal.FULL,
    **dict.fromkeys(range(300, 400), Refusal.NOT_SENT),
    **dict.fromkeys(range(500, 600), Refusal.UNKNOWN),
}
# 301 is PARAMS_INVALID, but with this text it is the key that is not known.
USER_NOT_EXIST = "user not exist"


def refusal(http_status: int, code: int | None, msg: str) -> Refusal:
    """The class of a response to a paid call; `code` None: it was not RunningHub's JSON."""
    if by_http := HTTP_REFUSALS.get(http_status):
        return by_http
    if code is None:
        return Refusal.UNKNOWN
    if code == 301 and USER_NOT_EXIST in msg.lower():
        return Refusal.KEY_REFUSED
    return next((kind for kind, codes in REFUSALS.items() if code in codes), Refusal.TASK_ERROR)


# What /outputs says of a task.
QUEUED, RUNNING = 813, 804
TASK_UNKNOWN = frozenset({423, 807, 1004})
RUN_FAILED = frozenset({805, 1006, 1013, 1015, 1501, 1504, 1505, 1516, 1517, 1519, 1601, 2001})

# Calls other than a task's paid call; every code that is not here is RunningHubRejected.
INVALID_NODE_INFO = frozenset({433, 803, 1101})
BUSY = REFUSALS[Refusal.FULL]
ERRORS: dict[int, type[AppError]] = {
    **dict.fromkeys(REFUSALS[Refusal.NO_BALANCE], InsufficientBalance),
    **dict.fromkeys(INVALID_NODE_INFO, InvalidNodeInfo),
    **dict.fromkeys((809, 1008), FileTooLarge),
    901: WebappNotFound,
    380: WorkflowNotFound,
}
ADVICE: dict[type[AppError], str] = {
    InsufficientBalance: "Top up the RunningHub account, then try again.",
    InvalidNodeInfo: "Fetch the form again with /get_node_info and correct the values.",
    FileTooLarge: "RunningHub accepts files up to 30 MB; for more, pass a public URL as the fieldValue.",
    WebappNotFound: "Check the app's id, and that the app and the key belong to this RunningHub host.",
    WorkflowNotFound: "Check the workflow's id, and that it belongs to the account of this key.",
    UnsupportedFile: "RunningHub accepts jpg, png, webp, mp3, wav, flac, mp4, avi, mov, mkv and zip.",
    RunningHubRejected: "Look the code up in RunningHub's documentation; check the API key and the app.",
}


# What RunningHub may respond is not bounded: in metrics, a code that is in no table has a common label.
KNOWN_CODES = frozenset({QUEUED, RUNNING, 1, 301, 808}).union(
    *REFUSALS.values(), TASK_UNKNOWN, RUN_FAILED, ERRORS
)


def code_label(summary: str) -> str:
    """A response's summary ("0", "HTTP 502", "no answer") as a label of few values."""
    is_number = summary.removeprefix("-").isdecimal()
    return "other" if is_number and int(summary) not in KNOWN_CODES else summary


def error_type(code: int, msg: str) -> type[AppError]:
    """The problem for a code that is not 0; RunningHub calls several things 1, so that `msg` decides."""
    message = msg.lower()
    if code == 1 and "webapp" in message:
        return WebappNotFound
    if code == 1 and "workflow" in message:
        return WorkflowNotFound
    return ERRORS.get(code, RunningHubRejected)
