"""Lists of apps: the public API's, and the calls of RunningHub's web site that clients use too."""

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import replies, replies_v2
from simulator.apps import App, api_call_demo
from simulator.context import simulator_of
from simulator.credentials import json_members
from simulator.refusals import Refusal, params_invalid, refusal
from simulator.request_checks import note, v2_key

MAX_PAGE = 50
_USUAL_SECONDS = "27"


async def list_apps(request: Request) -> Response:
    """The public API's list: an app's id stands only in its `invokeExample`."""
    simulator, members = simulator_of(request), json_members(await request.body())
    note(simulator, "aiappList", members, request)
    api_key = v2_key(simulator, request)
    if isinstance(api_key, Refusal):
        return replies_v2.refused(api_key)
    page = _page(list(simulator.apps.values()), members)
    base_url, files_url = simulator.base_url(request), simulator.files_base_url(request)
    page["records"] = [_summary(app, base_url, files_url) for app in page["records"]]
    return replies_v2.success(page)


async def list_webapps(request: Request) -> Response:
    """The web site's list; it needs no key. `search` finds a part of a name."""
    simulator, members = simulator_of(request), json_members(await request.body())
    note(simulator, "webappList", members, request)
    wanted = str(members.get("search") or "")
    page = _page([app for app in simulator.apps.values() if wanted in app.name], members)
    page["records"] = [_record(app, simulator.files_base_url(request)) for app in page["records"]]
    return replies.success(page)


async def show_webapp(request: Request) -> Response:
    """The web site's page of one app; it needs no key. The form is called `inputNodes` here."""
    simulator, members = simulator_of(request), json_members(await request.body())
    note(simulator, "webappDetail", members, request)
    webapp_id = members.get("webappId")
    if webapp_id in (None, ""):
        return replies.refused(params_invalid("webappId cannot be empty"))
    app = simulator.apps.get(str(webapp_id))
    if app is None:
        return replies.refused(refusal(1))
    details = {
        "inputNodes": list(app.nodes),
        "instanceType": "default",
        "avgRunningSeconds": _USUAL_SECONDS,
        "publishAccess": {"needPassword": app.access_password is not None},
    }
    return replies.success(_record(app, simulator.files_base_url(request)) | details)


def _page(apps: list[App], members: dict[str, Any]) -> dict[str, Any]:
    """The apps of one page under `records`; `current` counts from 1."""
    size = min(MAX_PAGE, max(1, _number(members.get("size"), 10)))
    current = max(1, _number(members.get("current"), 1))
    if members.get("sort") == "NEWEST":
        apps = sorted(apps, key=lambda app: int(app.id), reverse=True)
    pages = math.ceil(len(apps) / size)
    return {
        "records": apps[(current - 1) * size : current * size],
        "total": len(apps),
        "size": size,
        "current": current,
        "pages": pages,
        "hasNext": current < pages,
    }


def _number(value: Any, default: int) -> int:
    return int(value) if str(value).isdecimal() else default


def _summary(app: App, base_url: str, files_url: str) -> dict[str, Any]:
    example = (
        f"curl --request POST '{base_url}/openapi/v2/run/ai-app/{app.id}' \\\n"
        "--header 'Authorization: Bearer <your key>' \\\n"
        "--header 'Content-Type: application/json' \\\n"
        "--data-raw '{\"nodeInfoList\": []}'"
    )
    cover = f"{files_url}/covers/{app.id}.png"
    return {"title": app.name, "description": app.description, "cover": cover, "invokeExample": example}


def _record(app: App, files_url: str) -> dict[str, Any]:
    form = api_call_demo(app, files_url, files_url, "")
    names = ("description", "descriptionEn", "covers", "tags", "statisticsInfo")
    return {"id": app.id, "name": app.name, **{name: form[name] for name in names}}


ROUTES = [
    Route("/openapi/v2/aiapp/list", list_apps, methods=["POST"]),
    Route("/api/webapp/list", list_webapps, methods=["POST"]),
    Route("/api/webapp/detail", show_webapp, methods=["POST"]),
]
