"""Users with tokens of their own: for the operator only."""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import Path as PathParameter
from pydantic import BaseModel, Field

from api.dependencies import BODY_ERRORS, OperatorOnly, ServicesDep, new_router
from api.openapi import USERS, problem_responses
from api.schemas import Body, Id, Time, UtcTime
from errors import DatabaseUnavailable, Forbidden, InvalidRequest, UserExists, UserNotFound
from models import User, UserLimits, milliseconds, rfc3339
from users.tokens import new_token, token_hash

MAX_WEBAPPS = 1000
MAX_LIMIT = 1_000_000_000
UserName = Annotated[
    str, Field(pattern=r"^[\w.@-]{1,64}$", description="Letters, digits, `.`, `_`, `-`, `@`.")
]
UserRef = Annotated[str, PathParameter(max_length=64)]
Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT)]
ONE_USER_ERRORS = (InvalidRequest, Forbidden, UserNotFound, DatabaseUnavailable)

router = new_router(USERS)


class Limits(Body):
    """0: no limit; null or left out: the setting for all users."""

    max_active_tasks: Limit | None = Field(None, description="More wait: `user_limit`.")
    max_pending_tasks: Limit | None = Field(None, description="More waiting tasks: 429.")
    tasks_per_day: Limit | None = Field(None, description="More per day (UTC): 429.")
    coins_per_month: Annotated[float, Field(ge=0, le=MAX_LIMIT)] | None = Field(
        None, description="Once a month's tasks (UTC) have cost as much: 402."
    )
    calls_per_minute: Limit | None = Field(None, description="More of the costly calls: 429.")


class UserChanges(Body):
    """What is left out stays as it is."""

    expires_at: UtcTime | None = Field(None, description="When the token expires; null: never.")
    limits: Limits | None = Field(None, description="A limit that is null again follows the setting.")
    webapp_ids: Annotated[list[Id], Field(max_length=MAX_WEBAPPS)] | None = Field(
        None, description="The only apps that the user may run; null: every app."
    )

    def applied_to(self, user: User) -> User:
        given = self.model_fields_set
        return User(
            name=user.name,
            created_at=user.created_at,
            expires_ms=_ms(self.expires_at) if "expires_at" in given else user.expires_ms,
            limits=self._limits(user.limits) if "limits" in given else user.limits,
            webapp_ids=self._webapp_ids() if "webapp_ids" in given else user.webapp_ids,
        )

    def _limits(self, current: UserLimits) -> UserLimits:
        if self.limits is None:
            return UserLimits()
        return replace(current, **self.limits.model_dump(exclude_unset=True))

    def _webapp_ids(self) -> tuple[str, ...] | None:
        return None if self.webapp_ids is None else tuple(self.webapp_ids)


class NewUserRequest(UserChanges):
    name: UserName


class LimitsResponse(BaseModel):
    """The user's own limits; null: the setting applies."""

    max_active_tasks: int | None
    max_pending_tasks: int | None
    tasks_per_day: int | None
    coins_per_month: float | None
    calls_per_minute: int | None


class UserResponse(BaseModel):
    name: str
    created_at: Time
    expires_at: Time | None
    limits: LimitsResponse
    webapp_ids: list[str] | None

    @classmethod
    def of(cls, user: User, **members: Any) -> Self:
        return cls(
            name=user.name,
            created_at=user.created_at,
            expires_at=None if user.expires_ms is None else rfc3339(user.expires_ms),
            limits=LimitsResponse(**asdict(user.limits)),
            webapp_ids=None if user.webapp_ids is None else list(user.webapp_ids),
            **members,
        )


class UserWithTokenResponse(UserResponse):
    token: str = Field(description="Shown only this once.")


class UsersResponse(BaseModel):
    users: list[UserResponse]


@router.post(
    "/users",
    status_code=201,
    summary="Create a user",
    dependencies=[OperatorOnly],
    responses=problem_responses(*BODY_ERRORS, Forbidden, UserExists, DatabaseUnavailable),
)
async def create_user(body: NewUserRequest, services: ServicesDep) -> UserWithTokenResponse:
    created_at = rfc3339(services.database.clock())
    token = new_token()
    wanted = body.applied_to(User(body.name, created_at, None, UserLimits(), None))
    user = await services.database.users.add(wanted, token_hash(token.encode()))
    if user is None:
        raise UserExists(f"There is a user {body.name} already; a name is used once.")
    return UserWithTokenResponse.of(user, token=token)


@router.get(
    "/users",
    summary="All users that have a token",
    dependencies=[OperatorOnly],
    responses=problem_responses(Forbidden, DatabaseUnavailable),
)
async def list_users(services: ServicesDep) -> UsersResponse:
    return UsersResponse(users=[UserResponse.of(user) for user in await services.database.users.all()])


@router.patch(
    "/users/{name}",
    summary="Change a user's limits, apps or expiry",
    dependencies=[OperatorOnly],
    responses=problem_responses(*BODY_ERRORS, *ONE_USER_ERRORS),
)
async def change_user(name: UserRef, body: UserChanges, services: ServicesDep) -> UserResponse:
    user = await services.database.users.change(name, body.applied_to)
    services.poller.wake()
    return UserResponse.of(_found(user))


@router.delete(
    "/users/{name}",
    status_code=204,
    summary="Delete a user; the token is revoked, the tasks remain",
    dependencies=[OperatorOnly],
    responses=problem_responses(*ONE_USER_ERRORS),
)
async def delete_user(name: UserRef, services: ServicesDep) -> None:
    if not await services.database.users.delete(name):
        raise _not_found()
    services.poller.wake()


@router.post(
    "/users/{name}/token",
    summary="A new token; the old one is revoked",
    dependencies=[OperatorOnly],
    responses=problem_responses(*ONE_USER_ERRORS),
)
async def renew_token(name: UserRef, services: ServicesDep) -> UserWithTokenResponse:
    token = new_token()
    user = await services.database.users.set_token(name, token_hash(token.encode()))
    return UserWithTokenResponse.of(_found(user), token=token)


def _found(user: User | None) -> User:
    if user is None:
        raise _not_found()
    return user


def _not_found() -> UserNotFound:
    return UserNotFound("There is no user with this name; GET /users lists them all.")


def _ms(time: datetime | None) -> int | None:
    return None if time is None else milliseconds(time)
