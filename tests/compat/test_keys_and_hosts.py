"""Where clients put the key, which hosts they name, and what they are told when either is wrong."""

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from tests.compat.conftest import TOKEN, Json, Serve

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

WRONG = "another-token-of-enough-characters"
TASK_UNKNOWN = (807, "APIKEY_TASK_NOT_FOUND")
KEY_UNKNOWN = (806, "APIKEY_USER_NOT_FOUND")
NO_TASK = {"taskId": "8999999999999999999"}
OUTPUTS = "/task/openapi/outputs"


def code(response: httpx.Response) -> tuple[int, str]:
    assert response.status_code == 200
    reply: Json = response.json()
    return reply["code"], reply["msg"]


@pytest.mark.parametrize(
    "sent",
    [
        {"headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"headers": {"Authorization": f"bearer {TOKEN}"}},
        {"headers": {"Authorization": TOKEN}},
        {"json": NO_TASK | {"apiKey": TOKEN}},
        {"json": NO_TASK | {"apikey": TOKEN}},
        {"params": {"apiKey": TOKEN}},
        {"data": NO_TASK | {"apiKey": TOKEN}},
        {"headers": {"Authorization": f"Bearer {WRONG}"}, "json": NO_TASK | {"apiKey": TOKEN}},
    ],
)
async def test_a_token_is_a_key_wherever_it_is(guarded: httpx.AsyncClient, sent: Json) -> None:
    body: Json = {} if "data" in sent else {"json": NO_TASK}

    assert code(await guarded.post(OUTPUTS, **body | sent)) == TASK_UNKNOWN


@pytest.mark.parametrize(
    "sent",
    [
        {"json": NO_TASK},
        {"headers": {"Authorization": f"Bearer {WRONG}"}, "json": NO_TASK},
        {"json": NO_TASK | {"apiKey": WRONG}},
        {"json": NO_TASK | {"apiKey": [TOKEN]}},
        {"content": b"no JSON"},
    ],
)
async def test_a_wrong_key_is_806(guarded: httpx.AsyncClient, sent: Json) -> None:
    assert code(await guarded.post(OUTPUTS, **sent)) == KEY_UNKNOWN


@pytest.mark.parametrize(
    "call",
    [
        ("POST", "/task/openapi/ai-app/run"),
        ("POST", "/task/openapi/create"),
        ("POST", "/task/openapi/status"),
        ("POST", "/task/openapi/cancel"),
        ("POST", "/uc/openapi/accountStatus"),
        ("GET", "/api/webapp/apiCallDemo"),
        ("POST", "/api/openapi/getJsonApiFormat"),
    ],
)
async def test_no_call_is_answered_without_a_key(guarded: httpx.AsyncClient, call: tuple[str, str]) -> None:
    assert code(await guarded.request(*call)) == KEY_UNKNOWN


@pytest.mark.parametrize("host", ["www.runninghub.cn", "www.runninghub.ai", "evil.example"])
async def test_with_a_valid_key_any_host_is_accepted(guarded: httpx.AsyncClient, host: str) -> None:
    body = NO_TASK | {"apiKey": TOKEN}

    assert code(await guarded.post(OUTPUTS, json=body, headers={"Host": host})) == TASK_UNKNOWN


@pytest.mark.parametrize("host", ["www.runninghub.cn", "www.runninghub.ai:443", "127.0.0.1"])
async def test_without_token_settings_runninghubs_names_are_accepted(
    service: httpx.AsyncClient, host: str
) -> None:
    assert code(await service.post(OUTPUTS, json=NO_TASK, headers={"Host": host})) == TASK_UNKNOWN


async def test_without_token_settings_other_names_are_refused(service: httpx.AsyncClient) -> None:
    refused, _ = code(await service.post(OUTPUTS, json=NO_TASK, headers={"Host": "evil.example"}))
    page = await service.get("/tasks", headers={"Host": "www.runninghub.cn"})

    assert refused == 1000
    assert page.status_code == 403


async def test_a_foreign_page_is_refused(service: httpx.AsyncClient) -> None:
    refused, _ = code(await service.post(OUTPUTS, json=NO_TASK, headers={"Origin": "https://evil.example"}))

    assert refused == 1000


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/task/openapi/unknown"),
        ("GET", "/task/openapi/outputs"),
        ("POST", "/api/openapi/upload"),
        ("GET", "/uc/openapi/nothing"),
        ("GET", "/openapi/v2/query"),
        ("DELETE", "/openapi/v3/anything"),
        ("POST", "/task/openapi/outputs/"),
        ("POST", "/task/openapi"),
        ("GET", "/proxy/a-key/prompt"),
    ],
)
async def test_other_paths_of_runninghub_are_412(guarded: httpx.AsyncClient, method: str, path: str) -> None:
    response = await guarded.request(method, path)

    assert code(response) == (412, "TOKEN_INVALID")
    assert response.json()["data"] is None


async def test_the_addresses_in_a_reply_are_this_services(service: httpx.AsyncClient) -> None:
    response = await service.post(
        "/task/openapi/ai-app/run",
        json={"webappId": TEXT_TO_IMAGE, "nodeInfoList": []},
        headers={"Host": "www.runninghub.cn"},
    )

    assert response.json()["data"]["netWssUrl"].startswith("ws://127.0.0.1/ws/c_instance?")


async def test_calls_are_counted_by_key(serve: Serve) -> None:
    first, second = TOKEN, WRONG
    async with serve(access_tokens=(first, second), rate_limit_per_minute=1) as service:
        codes = [
            code(
                await service.post(
                    "/task/openapi/ai-app/run", json={"apiKey": key, "webappId": TEXT_TO_IMAGE}
                )
            )[0]
            for key in (first, first, second)
        ]

    assert codes == [0, 1003, 0]
