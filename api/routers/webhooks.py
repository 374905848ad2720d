"""RunningHub's webhook: the report that a task ended, which is only a hint to poll it."""

from typing import Annotated

from fastapi import BackgroundTasks, Request
from fastapi import Path as PathParameter

from api.dependencies import BODY_ERRORS, TASK_ERRORS, ServicesDep, TaskRef, new_router
from api.openapi import INCOMING, problem_responses
from api.paths import WEBHOOK_PREFIX
from runninghub.webhook import named_task

router = new_router(INCOMING)


@router.post(
    WEBHOOK_PREFIX + "{task_id}/{signature}",
    summary="RunningHub's report that a task ended",
    status_code=204,
    responses=problem_responses(*BODY_ERRORS, *TASK_ERRORS),
)
async def runninghub_webhook(
    task_id: TaskRef,
    signature: Annotated[str, PathParameter(max_length=64)],
    request: Request,
    services: ServicesDep,
    background: BackgroundTasks,
) -> None:
    # `api.auth` has checked the signature before anything was read: anybody can send a webhook.
    await services.tasks.webhook(task_id, signature, named_task(await request.body()))
    background.add_task(services.poller.wake_async)
