"""A thousand faults at random."""

import asyncio
import random
from pathlib import Path

import httpx
import pytest

from tests.faults.calls import SUBMISSION, Board, Json, all_tasks, answer_of
from tests.in_process import serving
from tests.processes import API_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


TASKS = 200
LONG_TASKS = 20
# What became of a run that met one of these is known: it was not taken.
RUN_FAULTS = [
    {"kind": "http_429", "times": 2, "probability": 0.2},
    {"kind": "code", "code": 421, "times": 2, "probability": 0.2},
    {"kind": "close_before", "times": 3, "probability": 0.2},
]
LOOK_FAULT_KINDS: list[tuple[str, int, Json]] = [
    ("close_before", 100, {}),
    ("close_before", 100, {"reset": True}),
    ("lost_reply", 100, {}),
    ("http_500_html", 100, {}),
    ("http_502_html", 100, {}),
    ("http_504_html", 93, {}),
    ("http_429", 50, {}),
    ("http_401", 50, {}),
    ("html_200", 50, {}),
    ("invalid_json", 50, {}),
    ("empty", 50, {}),
    ("wrong_types", 50, {}),
    ("code", 50, {"code": 1005, "msg": API_KEY}),
    ("slow_bytes", 30, {"seconds": 0.001}),
    ("hang", 20, {"seconds": 0.05}),
]
# Of a list, the first that strikes happens: so each strikes one call in twenty.
LOOK_FAULTS: list[Json] = [
    {"kind": kind, "times": times, "probability": 1 / (20 - place), **details}
    for place, (kind, times, details) in enumerate(LOOK_FAULT_KINDS)
]
CANCEL_FAULTS = [{"kind": kind, "probability": 0.2} for kind in ("lost_reply", "http_502_html", "http_429")]
UPSTREAM_WORDS = {"SUCCESS": "SUCCESS", "FAILED": "FAILED", "CANCELLED": "CANCEL"}
SECRETS = (API_KEY, "Rh-Comfy-Auth", "netWssUrl", "Traceback", "traceback")


def faults_left(board: Board) -> int:
    return sum(fault["times"] for name in ("run", "outputs") for fault in board.faults()[name])


async def open_tasks(client: httpx.AsyncClient) -> list[str]:
    waiting: Json = {"status": ["PENDING", "SUBMITTING", "QUEUED", "RUNNING"], "limit": 200}
    return [task["id"] for task in (await client.get("/tasks", params=waiting)).json()["tasks"]]


async def test_a_thousand_faults_over_two_hundred_tasks_lose_and_fail_nothing(
    board: Board, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(7)
    seen = bytearray()
    cancels: set[str] = set()
    board.set(
        run_time=600,
        fail_probability=0.2,
        faults={"run": RUN_FAULTS, "outputs": LOOK_FAULTS, "cancel": CANCEL_FAULTS},
    )
    assert faults_left(board) == 1000
    async with serving(board.url, tmp_path, log_level="DEBUG") as client:

        async def post(path: str, body: Json | None = None) -> None:
            response = await client.post(path, json=body)
            answer_of(response)
            seen.extend(response.content)

        # The first ones end only when they are cancelled; the others may have ended before a cancel arrives.
        await asyncio.gather(*(post("/submit_task", SUBMISSION) for _ in range(LONG_TASKS)))
        board.set(run_time=0.2, run_time_max=1)
        await asyncio.gather(*(post("/submit_task", SUBMISSION) for _ in range(TASKS - LONG_TASKS)))
        while (left := faults_left(board)) + len(ids := await open_tasks(client)):
            # RunningHub is asked about unknown tasks, too, so that no fault is left in the end.
            ids += [str(7_000_000_000_000_000_000 + chance.getrandbits(40)) for _ in range(min(left, 50))]
            asked = chance.sample(ids, min(len(ids), 60))
            cancels.update(asked[:3])
            await asyncio.gather(
                *(post("/task/query_task_status", {"taskId": task}) for task in asked),
                *(post(f"/tasks/{task}/cancel") for task in asked[:3]),
            )
        tasks = await all_tasks(client)
        seen.extend((await client.get("/tasks", params={"limit": 200})).content)

    at_runninghub = {
        task["runninghub_task_id"]: UPSTREAM_WORDS[task["status"]]
        for task in tasks
        if task["runninghub_task_id"]
    }
    # RunningHub confirms the cancel of a run that had failed, too; then it counts as cancelled here.
    failed_first = {
        run for run, status in board.tasks().items() if (status, at_runninghub[run]) == ("FAILED", "CANCEL")
    }
    assert failed_first <= {task["runninghub_task_id"] for task in tasks if task["id"] in cancels}
    assert at_runninghub == board.tasks() | dict.fromkeys(failed_first, "CANCEL")
    assert set(at_runninghub.values()) == set(UPSTREAM_WORDS.values())
    not_taken = [task["status"] for task in tasks if not task["runninghub_task_id"]]
    assert not_taken.count("SUBMIT_UNKNOWN") == 3
    assert set(not_taken) <= {"SUBMIT_UNKNOWN", "CANCELLED"}
    assert len(tasks) == TASKS

    seen += b"".join(file.read_bytes() for file in tmp_path.glob("tasks.db*"))
    seen += "".join(capfd.readouterr()).encode()
    assert [secret for secret in SECRETS if secret.encode() in seen] == []
