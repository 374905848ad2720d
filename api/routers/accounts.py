"""The RunningHub account: its coins and slots, never its key."""

from api.dependencies import UPSTREAM_ERRORS, ServicesDep, new_router
from api.openapi import ACCOUNTS, problem_responses
from api.schemas import AccountResponse

router = new_router(ACCOUNTS)


@router.get("/account", summary="RunningHub's coins and slots", responses=problem_responses(*UPSTREAM_ERRORS))
async def get_account(services: ServicesDep) -> AccountResponse:
    return AccountResponse.model_validate(await services.webapps.account_status(services.accounts.first))
