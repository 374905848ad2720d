"""Tasks as the routes return them: rows with what is looked up for each."""

from collections.abc import Sequence
from typing import Any

from api.schemas import OutputResponse, SubmitResponse, TaskResponse
from models import Output, Task
from services import Services
from tasks.poll_schedule import expected_seconds


async def task_response(services: Services, task: Task) -> TaskResponse:
    expected = expected_seconds(await services.run_times.of(task))
    return _response(services, task, expected, await services.outputs.of_task(task))


async def task_responses(services: Services, tasks: Sequence[Task]) -> list[TaskResponse]:
    """The same for a list: what its tasks share is read once."""
    outputs = await services.outputs.of_tasks(tasks)
    one_of_each_app = {task.target: task for task in tasks}
    expected = {
        target: expected_seconds(await services.run_times.of(task))
        for target, task in one_of_each_app.items()
    }
    return [_response(services, task, expected[task.target], outputs.get(task.id, ())) for task in tasks]


def _response(
    services: Services, task: Task, expected: int | None, outputs: Sequence[Output]
) -> TaskResponse:
    shown = [OutputResponse.of(output, services.outputs.link(output)) for output in outputs]
    return TaskResponse.of(task, expected, services.monitor.waiting(task), shown)


async def submit_response(
    services: Services, task: Task, warnings: list[dict[str, Any]], *, wait_s: float
) -> SubmitResponse:
    """The response to a submit; after `wait_s` at most, where it is to have the task at its end."""
    if not wait_s:
        return SubmitResponse.of(task, warnings)
    task = await services.change_feed.final(task, timeout_s=wait_s)
    return SubmitResponse.of(task, warnings, await task_response(services, task))
