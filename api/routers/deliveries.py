"""The outgoing webhooks of a task: what became of each, and sending one again."""

from typing import Annotated, Self

from fastapi import Path, Response
from pydantic import BaseModel, Field

from api.dependencies import TASK_ERRORS, PrincipalDep, ServicesDep, TaskRef, new_router
from api.openapi import TASKS, problem_responses
from api.schemas import Time
from errors import InvalidRequest, NotFound
from models import Delivery, DeliveryState, WebhookEvent, rfc3339

router = new_router()


class DeliveryAttemptResponse(BaseModel):
    at: Time
    status: int | None = Field(description="The receiver's HTTP status; null: no response.")
    error: str | None = Field(description="Why there was no response.")


class DeliveryResponse(BaseModel):
    """One webhook, sent until it is received or given up."""

    id: str = Field(description="The header `webhook-id`, the same on every attempt.")
    type: WebhookEvent
    url: str
    state: DeliveryState
    attempts: list[DeliveryAttemptResponse]
    next_try_at: Time | None = Field(description="While PENDING.")

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        return cls(
            id=delivery.id,
            type=delivery.type,
            url=delivery.url,
            state=delivery.state,
            attempts=[
                DeliveryAttemptResponse(at=attempt.at, status=attempt.status, error=attempt.error)
                for attempt in delivery.attempts
            ],
            next_try_at=None if delivery.next_try_ms is None else rfc3339(delivery.next_try_ms),
        )


class DeliveriesResponse(BaseModel):
    deliveries: list[DeliveryResponse]


@router.get(
    "/tasks/{task_id}/deliveries",
    tags=[TASKS],
    summary="The outgoing webhooks of a task",
    responses=problem_responses(InvalidRequest, *TASK_ERRORS),
)
async def list_deliveries(
    task_id: TaskRef, services: ServicesDep, principal: PrincipalDep
) -> DeliveriesResponse:
    task = await services.tasks.task(task_id, principal)
    found = await services.database.deliveries.of_task(task.id)
    return DeliveriesResponse(deliveries=[DeliveryResponse.of(delivery) for delivery in found])


@router.post(
    "/tasks/{task_id}/deliveries/{delivery_id}/redeliver",
    tags=[TASKS],
    status_code=202,
    summary="Send an outgoing webhook again",
    responses=problem_responses(InvalidRequest, *TASK_ERRORS, NotFound),
)
async def redeliver(
    task_id: TaskRef,
    delivery_id: Annotated[str, Path(max_length=64)],
    response: Response,
    services: ServicesDep,
    principal: PrincipalDep,
) -> DeliveriesResponse:
    task = await services.tasks.task(task_id, principal)
    if not await services.database.deliveries.redeliver(task.id, delivery_id):
        raise NotFound("The task has no such delivery; GET /tasks/{task_id}/deliveries lists them all.")
    found = await services.database.deliveries.of_task(task.id)
    response.headers["Location"] = f"/tasks/{task.id}/deliveries"
    return DeliveriesResponse(deliveries=[DeliveryResponse.of(delivery) for delivery in found])
