"""Every row of the table of refusals: what a response to the paid call does to the task and its account."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from errors import AppError
from models import AccountState, WaitCode
from models import TaskStatus as S
from runninghub.client import MAX_REPLY_BYTES
from tests.conftest import Core, RunningHub, add_waiting, answer, new_task, stored

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).parents[2] / "docs"
PAGE = "<html><h1>Bad gateway</h1></html>"
Reply = httpx.Response | Exception


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table. `codes` are RunningHub's, `https` are HTTP statuses, `others` further responses.

    `waits_for` on a PENDING task; `error` on one that is FAILED or SUBMIT_UNKNOWN; `state` of the account.
    `next_is_sent`: whether the next waiting task is sent at once.
    """

    name: str
    status: S
    codes: Sequence[int] = ()
    https: Sequence[int] = ()
    others: dict[str, Reply] = field(default_factory=dict)
    waits_for: WaitCode | None = None
    error: str | None = None
    state: AccountState = AccountState.OK
    next_is_sent: bool = False

    def replies(self) -> dict[str, Reply]:
        by_code: dict[str, Reply] = {
            str(code): httpx.Response(200, json=answer(code, msg=f"CODE_{code}")) for code in self.codes
        }
        by_http: dict[str, Reply] = {
            f"HTTP {status}": httpx.Response(status, html=PAGE) for status in self.https
        }
        return by_code | by_http | self.others


def accepted(task_id: Any, status: str) -> httpx.Response:
    return httpx.Response(200, json=answer(0, {"taskId": task_id, "taskStatus": status}))


ROWS = [
    Row("accepted, queued", S.QUEUED, others={"0": accepted("77", "QUEUED")}, next_is_sent=True),
    Row("accepted, running", S.RUNNING, others={"0": accepted(78, "RUNNING")}, next_is_sent=True),
    Row(
        "nothing was sent or done",
        S.PENDING,
        https=(301, 302, 303, 307, 308),
        others={
            "connection refused": httpx.ConnectError("refused"),
            "handshake not answered": httpx.ConnectTimeout("no TLS"),
        },
        waits_for=WaitCode.RUNNINGHUB_UNAVAILABLE,
        state=AccountState.UNAVAILABLE,
    ),
    Row(
        "full",
        S.PENDING,
        codes=(415, 421, 814, 1003, 1520),
        https=(429,),
        waits_for=WaitCode.SLOTS_FULL,
    ),
    Row(
        "no balance",
        S.PENDING,
        codes=(414, 416, 605, 812),
        waits_for=WaitCode.INSUFFICIENT_BALANCE,
        state=AccountState.INSUFFICIENT_BALANCE,
    ),
    Row(
        "key refused",
        S.PENDING,
        codes=(401, -1, 801, 802, 806, 811, 1002, 1014),
        https=(401, 403),
        others={
            "301 with user not exist": httpx.Response(200, json=answer(301, msg="user not exist")),
            "-1 with HTTP 401": httpx.Response(401, json=answer(-1, msg="ApiKey verification failed")),
        },
        waits_for=WaitCode.KEY_REFUSED,
        state=AccountState.KEY_REFUSED,
    ),
    Row(
        "unknown whether it runs, and RunningHub responded",
        S.SUBMIT_UNKNOWN,
        codes=(500, 1000, 1005, 1010, 1011, 1012),
        https=(500, 502, 503, 504, 599),
        others={
            "HTML": httpx.Response(200, html=PAGE),
            "HTML with HTTP 404": httpx.Response(404, html=PAGE),
            "a truncated response": httpx.Response(200, text='{"code":0,"data":{"taskId":"1'),
            "an empty response": httpx.Response(200, text=""),
            "a response that is too long": httpx.Response(200, content=b" " * (MAX_REPLY_BYTES + 1)),
            "0 without a taskId": httpx.Response(200, json=answer(0, {"taskStatus": "RUNNING"})),
            "5xx with RunningHub's JSON": httpx.Response(503, json=answer(421)),
        },
        error="runninghub_unavailable",
        state=AccountState.UNAVAILABLE,
    ),
    Row(
        "unknown whether it runs, and no response in time",
        S.SUBMIT_UNKNOWN,
        others={
            "no response in time": httpx.ReadTimeout("late"),
            "connection broken": httpx.ReadError("reset"),
        },
        error="runninghub_timeout",
        state=AccountState.UNAVAILABLE,
    ),
    Row(
        "an error of the task: its values",
        S.FAILED,
        codes=(433, 803, 1101),
        error="invalid_node_info",
        next_is_sent=True,
    ),
    Row(
        "an error of the task: its app",
        S.FAILED,
        codes=(901,),
        others={"1 webapp not exists": httpx.Response(200, json=answer(1, msg="webapp not exists"))},
        error="webapp_not_found",
        next_is_sent=True,
    ),
    Row(
        "an error of the task: every other code",
        S.FAILED,
        codes=(1, 301, 412, 435, 436, 808, 810, 1001, 1007, 1009, 99999),
        error="runninghub_rejected",
        next_is_sent=True,
    ),
]


async def problem_of_a_submit(core: Core) -> str | None:
    """Submits the first task; returns the code of the problem that its client gets."""
    try:
        await core.submitter.submit(new_task(1))
    except AppError as problem:
        return problem.code
    return None


@pytest.mark.parametrize(
    ("row", "reply"),
    [
        pytest.param(row, reply, id=f"{row.name}: {name}")
        for row in ROWS
        for name, reply in row.replies().items()
    ],
)
async def test_a_response_to_the_paid_call_does_what_its_row_of_the_table_says(
    core: Core, runninghub: RunningHub, row: Row, reply: Reply
) -> None:
    runninghub.run.mock(side_effect=[reply, httpx.Response(200, json=runninghub.accepted())])
    assert await problem_of_a_submit(core) == row.error
    task = await stored(core.database)
    waiting = core.monitor.waiting(task)
    assert task.status is row.status
    assert (waiting and waiting.code) == row.waits_for
    assert (task.error or {}).get("code") == row.error
    assert (await core.database.submit_view()).account("default").state is row.state

    await add_waiting(core.database, 2)
    for _ in range(5):
        await core.submitter.submit_pending()
    await core.submitter.close()
    assert runninghub.run.call_count == 1 + row.next_is_sent


@pytest.mark.parametrize("page", [DOCS / "task-lifecycle.md", DOCS / "zh-CN" / "task-lifecycle.md"])
def test_the_documented_table_lists_the_codes_that_are_tested(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    section = re.split(r"\n## (?:Refusals|拒绝)[^\n]*\n", text)[1].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")][3:]
    documented = [
        {int(code) for code in re.findall(r"(?<!HTTP )(?<![\w.])-?\d{3,4}\b|-1", cell)} for cell in cells
    ]
    tested = {row.name: set(row.codes) for row in ROWS}
    assert documented[1:4] == [tested["full"], tested["no balance"], tested["key refused"] | {301, 403}]
    assert documented[4] == tested["unknown whether it runs, and RunningHub responded"]
