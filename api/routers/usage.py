"""GET /usage: what tasks cost, summed by day, app, user or account."""

import re
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, Field

from api.dependencies import PrincipalDep, ServicesDep, new_router
from api.openapi import USERS, problem_responses
from api.schemas import UtcTime, empty_is
from db.user_rows import MICROS, UsageRow
from errors import DatabaseUnavailable, InvalidRequest
from models import milliseconds

# As far as JavaScript's dates reach.
LAST_MS = 8_640_000_000_000_000

router = new_router(USERS)


def _day_as_time(value: object) -> object:
    """A day begins at midnight, UTC."""
    is_day = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value)
    return f"{value}T00:00:00Z" if is_day else value


Moment = Annotated[UtcTime | None, empty_is(None), BeforeValidator(_day_as_time)]


class GroupBy(StrEnum):
    DAY = "day"
    WEBAPP = "webapp"
    OWNER = "owner"
    ACCOUNT = "account"


class Usage(BaseModel):
    """Tasks that have ended; sums are exact decimal numbers as text."""

    tasks: int
    succeeded: int
    failed: int
    coins: str
    money: str
    third_party_money: str
    run_seconds: str


class UsageOfGroup(Usage):
    """The members that were grouped by are present."""

    day: str | None = Field(None, description="`2026-11-23`, UTC")
    webapp_id: str | None = None
    owner: str | None = None
    account: str | None = None


class UsageResponse(BaseModel):
    usage: list[UsageOfGroup]
    total: Usage


@router.get(
    "/usage",
    summary="What tasks cost",
    description="By the time when a task ended; deleted tasks are included. Users see their own usage.",
    response_model_exclude_unset=True,
    responses=problem_responses(InvalidRequest, DatabaseUnavailable),
)
async def get_usage(
    services: ServicesDep,
    principal: PrincipalDep,
    from_time: Annotated[
        Moment, Query(alias="from", description="Inclusive: RFC 3339, or a UTC day.")
    ] = None,
    to_time: Annotated[Moment, Query(alias="to", description="Exclusive: RFC 3339, or a UTC day.")] = None,
    group_by: Annotated[list[GroupBy] | None, Query(description="May repeat.")] = None,
) -> UsageResponse:
    groups = list(dict.fromkeys(group.value for group in group_by or ()))
    from_ms, to_ms, owner = _ms(from_time, 0), _ms(to_time, LAST_MS), principal.owner
    users = services.database.users
    rows = await users.usage(from_ms=from_ms, to_ms=to_ms, owner=owner, groups=groups) if groups else []
    (total,) = await users.usage(from_ms=from_ms, to_ms=to_ms, owner=owner)
    return UsageResponse(usage=[_of_group(row) for row in rows], total=Usage(**_sums(total)))


def _ms(time: datetime | None, default: int) -> int:
    return default if time is None else milliseconds(time)


def _of_group(row: UsageRow) -> UsageOfGroup:
    names = {GroupBy.WEBAPP.value: "webapp_id"}
    groups: dict[str, Any] = {names.get(name, name): value for name, value in row.groups.items()}
    return UsageOfGroup(**groups, **_sums(row))


def _sums(row: UsageRow) -> dict[str, Any]:
    return {
        "tasks": row.tasks,
        "succeeded": row.succeeded,
        "failed": row.failed,
        "coins": _decimal(row.coins_micros, MICROS),
        "money": _decimal(row.money_micros, MICROS),
        "third_party_money": _decimal(row.third_party_money_micros, MICROS),
        "run_seconds": _decimal(row.run_ms, 1000),
    }


def _decimal(count: int, unit: int) -> str:
    """`count` of these parts of one, without an exponent and without zeros at the end."""
    text = f"{Decimal(count) / unit:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
