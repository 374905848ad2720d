"""The rows of users, the limits of each, and the sums of what tasks cost."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from db import user_queries as queries
from db.engine import Connection, Engine, Row
from models import NO_LIMITS, Principal, User, UserLimits, rfc3339

MICROS = 1_000_000
REMEMBERED = 4_096


class QuotaUsed(StrEnum):
    """Which of a user's quotas keeps a task from being stored."""

    PENDING_TASKS = "max_pending_tasks"
    TASKS_PER_DAY = "tasks_per_day"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Sums over tasks; `groups` has the values of the columns that were grouped by."""

    groups: dict[str, str | None]
    tasks: int
    succeeded: int
    failed: int
    coins_micros: int
    money_micros: int
    third_party_money_micros: int
    run_ms: int


# A user's row is read for every request; what is decoded from its texts depends on nothing else.


@lru_cache(REMEMBERED)
def _limits(text: str) -> UserLimits:
    return UserLimits(**json.loads(text))


@lru_cache(REMEMBERED)
def _webapp_ids(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


@lru_cache(REMEMBERED)
def _principal(
    name: str, own: UserLimits, defaults: UserLimits, webapp_ids: tuple[str, ...] | None
) -> Principal:
    return Principal(name, own.with_defaults(defaults), None if webapp_ids is None else frozenset(webapp_ids))


def _user(row: Row) -> User:
    return User(
        name=row["name"],
        created_at=row["created_at"],
        expires_ms=row["expires_ms"],
        limits=_limits(row["limits"]),
        webapp_ids=_webapp_ids(row["webapp_ids"]),
    )


def _columns(user: User) -> dict[str, str | int | None]:
    limits = {name: value for name, value in asdict(user.limits).items() if value is not None}
    return {
        "name": user.name,
        "created_at": user.created_at,
        "expires_ms": user.expires_ms,
        "limits": json.dumps(limits),
        "webapp_ids": None if user.webapp_ids is None else json.dumps(user.webapp_ids),
    }


class UserRows:
    """Every operation on users. `defaults` are the limits of users who have none of their own.

    A user need not have a row: one who comes with a JWT exists without being created.
    """

    def __init__(self, engine: Engine, clock: Callable[[], int], defaults: UserLimits) -> None:
        self._engine = engine
        self._clock = clock
        self._defaults = defaults

    # Users

    async def find(self, name: str) -> User | None:
        row = await self._engine.look_up(queries.SELECT_USER, {"name": name})
        return None if row is None else _user(row)

    async def find_by_token(self, token_hash: bytes) -> User | None:
        """Whose token this is; None where it is nobody's, was revoked, or has expired.

        Read for each request, so that a revoked token opens nothing more, in no worker.
        """
        row = await self._engine.look_up(queries.SELECT_USER_BY_TOKEN, {"token_hash": token_hash})
        if row is None or (row["expires_ms"] is not None and row["expires_ms"] <= self._clock()):
            return None
        return _user(row)

    def principal(self, name: str, user: User | None) -> Principal:
        """The user of this name, with the limits that apply."""
        own = user.limits if user else NO_LIMITS
        return _principal(name, own, self._defaults, user.webapp_ids if user else None)

    async def all(self) -> list[User]:
        return [_user(row) for row in await self._engine.scan(queries.SELECT_USERS)]

    async def add(self, user: User, token_hash: bytes) -> User | None:
        """None: the name is taken."""

        async def statements(connection: Connection) -> User | None:
            parameters = {**_columns(user), "token_hash": token_hash}
            rows = await connection.execute_fetchall(queries.INSERT_USER, parameters)
            await self._apply_limit_anew(connection, user.name)
            return next((_user(row) for row in rows), None)

        return await self._engine.write(statements)

    async def change(self, name: str, change: Callable[[User], User]) -> User | None:
        """Change a user, and what waits because of the limits. None: there is no such user."""

        async def statements(connection: Connection) -> User | None:
            rows = await connection.execute_fetchall(queries.SELECT_USER, {"name": name})
            for row in rows:
                changed = change(_user(row))
                await connection.execute_fetchall(queries.UPDATE_USER, _columns(changed))
                await self._apply_limit_anew(connection, name)
                return changed
            return None

        return await self._engine.write(statements)

    async def set_token(self, name: str, token_hash: bytes) -> User | None:
        """Replace the token; the old one is revoked. None: there is no such user."""

        async def statements(connection: Connection) -> User | None:
            parameters = {"name": name, "token_hash": token_hash}
            rows = await connection.execute_fetchall(queries.SET_TOKEN, parameters)
            return next((_user(row) for row in rows), None)

        return await self._engine.write(statements)

    async def delete(self, name: str) -> bool:
        """Delete a user, whose tasks remain. False: there is no such user."""

        async def statements(connection: Connection) -> bool:
            deleted = bool(await connection.execute_fetchall(queries.DELETE_USER, {"name": name}))
            await self._apply_limit_anew(connection, name)
            return deleted

        return await self._engine.write(statements)

    async def lock(self, connection: Connection, owner: str) -> None:
        """Part of a transaction: what it counts of this user's tasks, no other one changes until it ends."""
        await self._engine.lock(connection, f"user {owner}")

    # Limits. The limit of active tasks is kept by holding tasks: whatever is not held may be claimed.

    async def max_active(self, connection: Connection, owner: str) -> int:
        """How many tasks of the user may be active; 0: no limit. Part of a transaction."""
        rows = await connection.execute_fetchall(queries.SELECT_USER, {"name": owner})
        own = next((_user(row).limits for row in rows), UserLimits())
        return own.with_defaults(self._defaults).max_active_tasks or 0

    async def hold_and_release(self, connection: Connection, owner: str, task_id: str) -> bool:
        """A task has become claimable: hold it, then release as many as the limit allows, the oldest first.

        Part of the transaction that made it claimable. Whether anything changed.
        """
        await self.lock(connection, owner)
        if not await self.max_active(connection, owner):
            return False
        await connection.execute_fetchall(queries.HOLD_TASK, {"id": task_id})
        await self.release(connection, owner)
        return True

    async def release(self, connection: Connection, owner: str) -> int:
        """Release held tasks up to the user's limit; part of the transaction that ended one. How many."""
        await self.lock(connection, owner)
        limit = await self.max_active(connection, owner)
        ((active,),) = await connection.execute_fetchall(queries.COUNT_ACTIVE, {"owner": owner})
        released = 0
        while limit == 0 or active + released < limit:
            if not await connection.execute_fetchall(queries.RELEASE_HELD, {"owner": owner}):
                break
            released += 1
        return released

    async def _apply_limit_anew(self, connection: Connection, owner: str) -> None:
        """The limit may have changed: what was claimable may have to wait, and the other way round."""
        await self.lock(connection, owner)
        await connection.execute_fetchall(queries.HOLD_CLAIMABLE, {"owner": owner})
        await self.release(connection, owner)

    async def release_all(self) -> int:
        """Release what may start, of all users: after a change of the settings, say. How many."""
        owners = [row["owner"] for row in await self._engine.read(queries.SELECT_HELD_OWNERS)]
        if not owners:
            return 0

        async def statements(connection: Connection) -> int:
            return sum([await self.release(connection, owner) for owner in sorted(owners)])

        return await self._engine.write(statements)

    async def quota_used(
        self, connection: Connection, owner: str | None, limits: UserLimits
    ) -> QuotaUsed | None:
        """The quota that keeps another task from being stored; part of the transaction that stores it."""
        if owner is None:
            return None
        if limits.max_pending_tasks:
            ((pending,),) = await connection.execute_fetchall(queries.COUNT_PENDING, {"owner": owner})
            if pending >= limits.max_pending_tasks:
                return QuotaUsed.PENDING_TASKS
        if limits.tasks_per_day:
            today = {"owner": owner, "since": rfc3339(_day_start_ms(self._clock()))}
            ((created,),) = await connection.execute_fetchall(queries.COUNT_CREATED, today)
            if created >= limits.tasks_per_day:
                return QuotaUsed.TASKS_PER_DAY
        return None

    async def is_budget_used(self, owner: str | None, limits: UserLimits) -> bool:
        """Whether this month's tasks of the user have cost as many coins as allowed."""
        if owner is None or not limits.coins_per_month:
            return False
        return await self.coins_this_month(owner) >= limits.coins_per_month

    async def coins_this_month(self, owner: str) -> float:
        """What the user's tasks that ended this month have cost."""
        this_month = {"owner": owner, "since_ms": _month_start_ms(self._clock())}
        ((micros,),) = await self._engine.read(queries.SUM_COINS, this_month)
        return float(micros) / MICROS

    # Usage

    async def usage(
        self, *, from_ms: int, to_ms: int, groups: Sequence[str] = (), owner: str | None = None
    ) -> list[UsageRow]:
        """Sums over the tasks that ended in a period; without `groups` one row. `owner`: of one user."""
        sql = queries.select_usage(groups=tuple(groups), is_of_one_owner=owner is not None)
        parameters = {"from_ms": from_ms, "to_ms": to_ms, "owner": owner}
        found = []
        for row in await self._engine.scan(sql, parameters):
            sums = dict(zip(row.keys(), row, strict=True))
            found.append(UsageRow({name: sums.pop(name) for name in groups}, **sums))
        return found


def _day_start_ms(now_ms: int) -> int:
    return now_ms - now_ms % 86_400_000


def _month_start_ms(now_ms: int) -> int:
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return int(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
