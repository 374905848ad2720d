"""The simulator with tasks of any age, and with a usual run time for each app."""

import random
import time
from collections import defaultdict
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Body, FastAPI, Request
from pydantic import BaseModel

from simulator import control, file_server, runninghub, runninghub_v2
from simulator.apps import APPS, AUDIO, IMAGE_TO_IMAGE, TEXT_TO_IMAGE
from simulator.context import Simulator, simulator_of
from simulator.payments import Payment
from simulator.state import Run, State, Task
from simulator.switches import Switches
from simulator.uploads import UploadStore
from simulator.webhooks import Webhooks

RUN_TIMES = {TEXT_TO_IMAGE: 5.0, IMAGE_TO_IMAGE: 10.0, AUDIO: 25.0}
SPREAD = 0.15


class OldTask(BaseModel):
    """A task that started `age_s` ago and runs for `run_s` in all."""

    webapp_id: str
    age_s: float
    run_s: float


class PolledTask(BaseModel):
    """What RunningHub knows of a task: when it ends, and when it was polled. Unix seconds."""

    task_id: str
    webapp_id: str
    started_at: float
    finishes_at: float
    polled_at: list[float]

    @property
    def run_s(self) -> float:
        return self.finishes_at - self.started_at


class AgedState(State):
    """Remembers when each task was polled; run times follow the app."""

    def __init__(self) -> None:
        super().__init__(Switches(slots=0, queue_time=0), frozenset(), 0, time.monotonic)
        self.polled_at: dict[str, list[float]] = defaultdict(list)

    def start(self, run: Run, payment: Payment, run_time: float) -> Task:
        task = super().start(run, payment, run_time)
        if usual := RUN_TIMES.get(run.app.id):
            task.ends = task.started + usual * random.uniform(1 - SPREAD, 1 + SPREAD)
        return task

    def add_old(self, old: OldTask, api_key: str) -> str:
        app = replace(APPS[TEXT_TO_IMAGE], id=old.webapp_id)
        task = self.start(Run(app, api_key, b"{}", base_url="", files_url=""), Payment(), old.run_s)
        task.started_at -= old.age_s
        task.started = task.runs_from = task.started - old.age_s
        task.ends = task.started + old.run_s
        return task.id

    def find(self, task_id: str) -> Task | None:
        self.polled_at[task_id].append(time.time())
        return super().find(task_id)

    def polled(self, task: Task) -> PolledTask:
        return PolledTask(
            task_id=task.id,
            webapp_id=task.app.id,
            started_at=task.started_at,
            finishes_at=task.started_at + task.ends - task.started,
            polled_at=self.polled_at[task.id],
        )


router = APIRouter(prefix="/bench")


def _state(request: Request) -> AgedState:
    state = simulator_of(request).state
    assert isinstance(state, AgedState)  # noqa: S101 - this app has no other
    return state


@router.post("/tasks")
async def add_tasks(request: Request, tasks: list[OldTask], api_key: Annotated[str, Body()]) -> list[str]:
    return [_state(request).add_old(task, api_key) for task in tasks]


@router.get("/tasks")
async def get_tasks(request: Request) -> list[PolledTask]:
    state = _state(request)
    return [state.polled(task) for task in state.tasks.values()]


state = AgedState()
app = FastAPI(routes=[*runninghub.ROUTES, *runninghub_v2.ROUTES, *file_server.ROUTES])
app.state.simulator = Simulator(state, UploadStore(), Webhooks(state), public_url=None)
app.include_router(control.router)
app.include_router(router)
