"""The same calls to the simulator and through the service have the same codes, texts and members."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE, WITH_PASSWORD
from simulator.workflows import TEXT_TO_IMAGE_WORKFLOW
from tests.compat.conftest import TOKEN, Json, switch, until
from tests.processes import API_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

RUN, CREATE = "/task/openapi/ai-app/run", "/task/openapi/create"
APP: Json = {"webappId": TEXT_TO_IMAGE}
NODE: Json = {"nodeId": "15", "fieldName": "text", "fieldValue": "a cat"}
UNKNOWN_TASK: Json = {"taskId": "1900000000000000001"}
V1_CALLS: tuple[tuple[str, Json], ...] = (
    (RUN, APP),
    (RUN, APP | {"nodeInfoList": None}),
    (RUN, APP | {"nodeInfoList": []}),
    (RUN, {"webappId": int(TEXT_TO_IMAGE), "nodeInfoList": [NODE | {"nodeId": 15}]}),
    (RUN, APP | {"nodeInfoList": [NODE | {"uploadStatus": "done", "options": [], "fieldType": "STRING"}]}),
    (RUN, APP | {"nodeInfoList": [NODE | {"fieldValue": 8}, NODE | {"nodeId": "16", "fieldValue": True}]}),
    (RUN, APP | {"instanceType": "plus", "usePersonalQueue": "false", "retainSeconds": "60"}),
    (RUN, APP | {"instanceType": None, "usePersonalQueue": None, "retainSeconds": None, "webhookUrl": None}),
    (RUN, APP | {"instanceType": "", "accessPassword": "", "webhookUrl": ""}),
    (RUN, {}),
    (RUN, {"webappId": "12"}),
    (RUN, {"webappId": WITH_PASSWORD}),
    (CREATE, {"workflowId": TEXT_TO_IMAGE_WORKFLOW, "addMetadata": True}),
    (CREATE, {"workflowId": "12"}),
    (CREATE, {}),
    ("/task/openapi/outputs", UNKNOWN_TASK),
    ("/task/openapi/outputs", {}),
    ("/task/openapi/status", {"taskId": 0}),
    ("/task/openapi/status", {"taskId": "abc"}),
    ("/task/openapi/cancel", {"taskIds": ["1"]}),
    ("/api/openapi/getJsonApiFormat", {"workflowId": TEXT_TO_IMAGE_WORKFLOW}),
    ("/api/openapi/getJsonApiFormat", {}),
    ("/uc/openapi/accountStatus", {}),
    ("/task/openapi/quick-ai-app/run", {}),
)
V2_CALLS: tuple[tuple[str, Json], ...] = (
    (f"/openapi/v2/run/ai-app/{TEXT_TO_IMAGE}", {"nodeInfoList": [], "usePersonalQueue": "false"}),
    (f"/openapi/v2/run/workflow/{TEXT_TO_IMAGE_WORKFLOW}", {}),
    ("/openapi/v2/run/ai-app/12", {"nodeInfoList": []}),
    ("/openapi/v2/vendor/some-model/text-to-image", {"prompt": "a cat"}),
    ("/openapi/v2/aiapp/list", {"current": 1, "size": 5, "sort": "RECOMMEND"}),
)
Both = Callable[..., Awaitable[tuple[Json, Json]]]


@pytest.fixture
def both(board: httpx.AsyncClient, guarded: httpx.AsyncClient) -> Both:
    """A call's replies by the simulator and by the service, each with its key; a body is that of v1 or v2."""

    async def call(path: str, body: Json, *, in_header: bool = False) -> tuple[Json, Json]:
        replies = []
        for client, key in ((board, API_KEY), (guarded, TOKEN)):
            headers = {"Authorization": f"Bearer {key}"} if in_header else {}
            members = body if in_header else {"apiKey": key, **body}
            response = await client.post(path, json=members, headers=headers)
            assert response.status_code == 200
            replies.append(response.json())
        return replies[0], replies[1]

    return call


def shape(value: Any) -> Any:
    """The names of a reply's members and the kinds of its values, whatever the values are."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


@pytest.mark.parametrize(
    ("path", "body"), V1_CALLS, ids=[f"{n} {path}" for n, (path, _) in enumerate(V1_CALLS)]
)
async def test_v1_calls_have_the_same_code_text_and_members(both: Both, path: str, body: Json) -> None:
    theirs, ours = await both(path, body)

    assert (ours["code"], ours["msg"]) == (theirs["code"], theirs["msg"])
    assert shape(ours) == shape(theirs)


@pytest.mark.parametrize(("path", "body"), V2_CALLS, ids=[path for path, _ in V2_CALLS])
async def test_v2_calls_have_the_same_code_text_and_members(both: Both, path: str, body: Json) -> None:
    theirs, ours = await both(path, body, in_header=True)

    for name in ("code", "message", "errorCode", "errorMessage"):
        assert ours.get(name) == theirs.get(name)
    assert set(ours) == set(theirs)


async def test_a_tasks_way_has_the_same_codes_texts_and_members(
    both: Both, board: httpx.AsyncClient, guarded: httpx.AsyncClient
) -> None:
    await switch(board, queue_time=0, run_time=0.3)
    ends = []
    theirs, ours = await both(RUN, APP)
    for client, key, started in ((board, API_KEY, theirs), (guarded, TOKEN, ours)):
        body = {"apiKey": key, "taskId": started["data"]["taskId"]}

        async def poll(client: httpx.AsyncClient = client, body: Json = body) -> Json:
            reply: Json = (await client.post("/task/openapi/outputs", json=body)).json()
            return reply

        ends.append(await until(poll, lambda reply: reply["code"] not in {804, 813}))

    theirs_end, ours_end = ends[0][-1], ends[1][-1]
    assert ends[0][0]["code"] == ends[1][0]["code"] == 804
    assert shape(ends[0][0]) == shape(ends[1][0])
    assert (ours_end["code"], ours_end["msg"]) == (theirs_end["code"], theirs_end["msg"]) == (0, "success")
    assert shape(ours_end) == shape(theirs_end)
