"""Apps to choose from: those that were run here, and RunningHub's own list."""

import asyncio
import re
from enum import StrEnum
from typing import Annotated, Any

from cachetools import TTLCache
from fastapi import Query
from pydantic import BaseModel, Field

from api.dependencies import UPSTREAM_ERRORS, KnownQueryOnly, PrincipalDep, ServicesDep, new_router
from api.openapi import FORMS, problem_responses
from api.schemas import Time, empty_is
from database import UsedWebapp
from errors import DatabaseUnavailable, InvalidRequest
from forms.builder import plain_text
from models import Kind
from runninghub.replies import objects
from services import Services

# RunningHub's own list changes slowly, and every visit of the page asks for it.
LIST_TTL_S = 600.0
MAX_PAGES = 200
NAME_TIMEOUT_S = 2.0
LAST = 2**62
# RunningHub's list names an app only in an example of its call.
APP_ID = re.compile(r"(?:ai-app/|webappId\\?\"?\s*[:=]\s*\\?\"?)([0-9]{5,30})")

router = new_router()
_lists: TTLCache[tuple[str, str, int, int], dict[str, Any]] = TTLCache(MAX_PAGES, LIST_TTL_S)


class Source(StrEnum):
    USED = "used"
    RUNNINGHUB = "runninghub"


class Sort(StrEnum):
    RECOMMEND = "RECOMMEND"
    HOTTEST = "HOTTEST"
    NEWEST = "NEWEST"


class ListedWebapp(BaseModel):
    """One app; its form is at `/get_node_info`."""

    webappId: str
    webappName: str
    description: str
    cover: str | None = Field(description="The address of a picture or film.")
    tasks: int = Field(description="How many tasks of it were submitted here.")
    last_used_at: Time | None


class WebappList(BaseModel):
    webapps: list[ListedWebapp]
    next_cursor: str | None = Field(description="For the next page; null at the end.")


@router.get(
    "/webapps",
    tags=[FORMS],
    summary="Apps that were run here, or RunningHub's own list",
    dependencies=[KnownQueryOnly],
    responses=problem_responses(InvalidRequest, DatabaseUnavailable, *UPSTREAM_ERRORS),
)
async def list_webapps(
    services: ServicesDep,
    principal: PrincipalDep,
    source: Source = Source.USED,
    sort: Annotated[Sort, Query(description="Of RunningHub's own list.")] = Sort.RECOMMEND,
    limit: Annotated[int, Query(ge=1, le=50), empty_is(20)] = 20,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{0,18}$", description="`next_cursor`")] = None,
) -> WebappList:
    if source is Source.RUNNINGHUB:
        return await _runninghub_list(services, sort, limit, int(cursor or 1))
    used = await services.database.used_webapps(
        before_seq=int(cursor or LAST), limit=limit + 1, owner=principal.owner
    )
    webapps = await asyncio.gather(*(_used(services, webapp) for webapp in used[:limit]))
    return WebappList(
        webapps=webapps, next_cursor=str(used[limit - 1].last_seq) if len(used) > limit else None
    )


async def _used(services: Services, webapp: UsedWebapp) -> ListedWebapp:
    """With the name and cover of its form, where that is known or can be had in a moment."""
    form = services.forms.known(Kind.WEBAPP, webapp.webapp_id) or await services.forms.cached_or_fetch(
        Kind.WEBAPP, webapp.webapp_id, timeout_s=NAME_TIMEOUT_S
    )
    covers = form["covers"] if form else []
    return ListedWebapp(
        webappId=webapp.webapp_id,
        webappName=form["webappName"] if form else "",
        description=form["description"] if form else "",
        cover=(covers[0]["thumbnailUri"] or covers[0]["url"]) if covers else None,
        tasks=webapp.tasks,
        last_used_at=webapp.last_used_at,
    )


async def _runninghub_list(services: Services, sort: Sort, limit: int, page: int) -> WebappList:
    account = services.accounts.first
    key = (account.base_url, sort.value, limit, page)
    if (data := _lists.get(key)) is None:
        data = _lists[key] = await services.webapps.list_webapps(
            account, current=page, size=limit, sort=sort.value
        )
    webapps = [webapp for record in objects(data.get("records")) if (webapp := _listed(record))]
    return WebappList(webapps=webapps, next_cursor=str(page + 1) if data.get("hasNext") is True else None)


def _listed(record: dict[str, Any]) -> ListedWebapp | None:
    """One record of RunningHub's list; None where it names no app."""
    webapp_id = record.get("webappId") or record.get("id")
    if not webapp_id and (found := APP_ID.search(str(record.get("invokeExample") or ""))):
        webapp_id = found[1]
    if not webapp_id:
        return None
    cover = record.get("cover")
    return ListedWebapp(
        webappId=str(webapp_id),
        webappName=plain_text(record.get("title") or record.get("webappName")),
        description=plain_text(record.get("description")),
        cover=cover if isinstance(cover, str) and cover.startswith(("https://", "http://")) else None,
        tasks=0,
        last_used_at=None,
    )
