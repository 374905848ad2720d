"""The RunningHub accounts: their state, balance and slots, never their keys."""

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from api.dependencies import UPSTREAM_ERRORS, OperatorOnly, ServicesDep, new_router
from api.openapi import ACCOUNTS, problem_responses
from api.schemas import AccountResponse, RunningHubText
from errors import AppError, Forbidden
from models import ACTIVE, AccountState, rfc3339
from runninghub.accounts import Account
from runninghub.replies import balance_of
from services import Services
from tasks.submit_limiter import AccountLimits, known_limit

BALANCE_TIMEOUT_S = 5.0

router = new_router()


class AccountStateResponse(BaseModel):
    """One account of the settings."""

    name: str
    base_url: str
    state: AccountState
    running: int = Field(description="Tasks of this service that run with it now.")
    max_concurrent_tasks: int | None = Field(description="null: not set, and RunningHub does not say.")
    remainCoins: RunningHubText
    remainMoney: RunningHubText
    currency: str | None
    message: str | None = Field(description="Why it is not `ok`.")
    next_probe_at: str | None = Field(description="When a free call tests it again.")


class AccountsResponse(BaseModel):
    accounts: list[AccountStateResponse]


@router.get(
    "/accounts",
    tags=[ACCOUNTS],
    summary="All RunningHub accounts and their state",
    dependencies=[OperatorOnly],
    responses=problem_responses(Forbidden),
)
async def list_accounts(services: ServicesDep) -> AccountsResponse:
    await services.monitor.refresh()
    accounts = services.accounts.all
    return AccountsResponse(accounts=await asyncio.gather(*(_state(services, each) for each in accounts)))


async def _state(services: Services, account: Account) -> AccountStateResponse:
    row = services.monitor.view.account(account.name)
    limits = AccountLimits(account.name, account.base_url, "", account.max_concurrent)
    balance = await _balance(services, account) or row
    return AccountStateResponse(
        name=account.name,
        base_url=account.base_url,
        state=services.monitor.state_of(account),
        running=services.monitor.view.count(ACTIVE, account.name),
        max_concurrent_tasks=known_limit(limits, row) or None,
        remainCoins=balance.coins,
        remainMoney=balance.money,
        currency=balance.currency,
        message=row.message,
        next_probe_at=rfc3339(row.next_probe_ms) if row.is_probe_needed and row.next_probe_ms else None,
    )


async def _balance(services: Services, account: Account) -> Any:
    """As RunningHub reports it now; None where it cannot be asked."""
    try:
        async with asyncio.timeout(BALANCE_TIMEOUT_S):
            return balance_of(await services.webapps.account_status(account))
    except (AppError, TimeoutError):
        return None


@router.get(
    "/account",
    tags=[ACCOUNTS],
    summary="The first account's coins and slots",
    dependencies=[OperatorOnly],
    responses=problem_responses(Forbidden, *UPSTREAM_ERRORS),
)
async def get_account(services: ServicesDep) -> AccountResponse:
    return AccountResponse.model_validate(await services.webapps.account_status(services.accounts.first))
