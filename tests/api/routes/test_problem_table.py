"""Every problem of the table, each produced once."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from errors import AppError
from simulator.apps import TEXT_TO_IMAGE
from tests.api.routes.calls import (
    CODES,
    ID,
    LONG,
    UNKNOWN_APP,
    Board,
    Json,
    Service,
    assert_problem,
    submission,
    submit,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


Scenario = Callable[["Service", Board], Awaitable[httpx.Response]]


RETRY_AFTER = {
    *("too_many_pending", "rate_limited", "runninghub_unavailable", "runninghub_timeout"),
    *("database_unavailable", "not_ready"),
}


async def produce_invalid_request(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.post("/submit_task", json={"nodeInfoList": []})


async def produce_invalid_node_info(service: Service, board: Board) -> httpx.Response:
    await board.fault("run", "code", code=433, msg="VALIDATE_PROMPT_FAILED")
    async with service() as client:
        return await client.post("/submit_task", json=submission())


async def produce_unauthorized(service: Service, board: Board) -> httpx.Response:
    async with service(access_tokens="right") as client:
        return await client.get("/tasks", headers={"Authorization": "Bearer wrong"})


async def produce_forbidden_host(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.get("/tasks", headers={"Host": "tasks.example.com"})


async def produce_task_not_found(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.post("/task/query_task_status", json={"taskId": "1234567890123456789"})


async def produce_webapp_not_found(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.post("/get_node_info", json={"webappId": UNKNOWN_APP})


async def produce_not_found(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.get("/no/such/route")


async def produce_method_not_allowed(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.delete("/tasks")


async def produce_not_cancellable(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        answer = await submit(client)
        await until(client, answer["task_id"], "SUCCESS")
        return await client.post(f"/tasks/{answer['task_id']}/cancel")


async def produce_not_unknown(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        answer = await submit(client)
        return await client.post(f"/tasks/{answer['task_id']}/settle", json={"resubmit": True})


async def produce_idempotency_key_reused(service: Service, board: Board) -> httpx.Response:
    headers = {"Idempotency-Key": "k"}
    async with service() as client:
        await client.post("/submit_task", json=submission("a"), headers=headers)
        return await client.post("/submit_task", json=submission("b"), headers=headers)


async def produce_body_too_large(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.post("/submit_task", json=submission("x" * 4_200_000))


async def produce_file_too_large(service: Service, board: Board) -> httpx.Response:
    async with service(max_upload_mb=1) as client:
        response = await client.post("/upload", files={"file": ("a.png", bytes(1024 * 1024 + 1))})
    assert await board.calls("upload") <= 1
    return response


async def produce_unsupported_file(service: Service, board: Board) -> httpx.Response:
    await board.set(unsupported_dialect="301")
    async with service() as client:
        return await client.post("/upload", files={"file": ("a.exe", b"MZ")})


async def produce_too_many_pending(service: Service, board: Board) -> httpx.Response:
    await board.set(**LONG)
    async with service(max_concurrent_tasks=1, max_pending_tasks=2) as client:
        for _ in range(3):
            await submit(client)
        response = await client.post("/submit_task", json=submission())
        assert (await client.get("/health")).json()["tasks"]["PENDING"] == 2
        return response


async def produce_rate_limited(service: Service, board: Board) -> httpx.Response:
    async with service(rate_limit_per_minute=1) as client:
        await submit(client)
        assert (await client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE})).status_code == 200
        return await client.post("/submit_task", json=submission())


async def produce_insufficient_balance(service: Service, board: Board) -> httpx.Response:
    await board.fault("accountStatus", "code", code=416, msg="TASK_CREATE_FAILED_BY_NOT_ENOUGH_WALLET")
    async with service() as client:
        return await client.get("/account")


async def produce_runninghub_not_configured(service: Service, board: Board) -> httpx.Response:
    async with service(runninghub_api_key=None) as client:
        response = await client.post("/submit_task", json=submission())
        assert "RUNNINGHUB_API_KEY" in response.json()["detail"]
        assert (await client.get("/tasks")).json()["tasks"] == []
        return response


async def produce_runninghub_rejected(service: Service, board: Board) -> httpx.Response:
    await board.fault("*", "code", code=806, msg="APIKEY_USER_NOT_FOUND")
    async with service() as client:
        return await client.get("/account")


async def produce_runninghub_unavailable(service: Service, board: Board) -> httpx.Response:
    async with service(runninghub_base_url="http://127.0.0.1:9") as client:
        return await client.get("/account")


async def produce_runninghub_timeout(service: Service, board: Board) -> httpx.Response:
    await board.fault("accountStatus", "hang")
    async with service(runninghub_timeout_s=0.3) as client:
        return await client.get("/account")


async def produce_internal_error(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        await submit(client)
        service.rows("UPDATE tasks SET node_info = 'no JSON'")
        return await client.get("/tasks", headers={"X-Request-ID": "my-request"})


async def produce_database_unavailable(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        service.rows("ALTER TABLE tasks RENAME TO gone")
        return await client.get("/tasks")


async def produce_not_ready(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        service.rows("ALTER TABLE task_counts RENAME TO gone")
        return await client.get("/ready")


UPSTREAM = {
    "invalid_node_info": {"code": 433, "msg": "VALIDATE_PROMPT_FAILED"},
    "webapp_not_found": {"code": 1, "msg": "webapp not exists"},
    "unsupported_file": {"code": 301, "msg": "file type is not supported"},
    "insufficient_balance": {"code": 416, "msg": "TASK_CREATE_FAILED_BY_NOT_ENOUGH_WALLET"},
    "runninghub_rejected": {"code": 806, "msg": "APIKEY_USER_NOT_FOUND"},
}
MEMBERS: dict[str, Json] = {code: {"upstream": upstream} for code, upstream in UPSTREAM.items()}
MEMBERS["invalid_request"] = {"errors": [{"loc": ["body"], "msg": "give either webappId or workflowId"}]}
MEMBERS["invalid_node_info"] |= {
    "errors": [{"nodeId": None, "fieldName": None, "msg": "VALIDATE_PROMPT_FAILED"}],
    "task_id": ID,
}
MEMBERS["internal_error"] = {"request_id": "my-request"}


@pytest.mark.parametrize("code", CODES)
async def test_every_problem_has_its_status_and_the_one_envelope(
    service: Service, board: Board, code: str
) -> None:
    scenario: Scenario = globals()[f"produce_{code}"]
    response = await scenario(service, board)
    assert_problem(response, code, CODES[code], **MEMBERS.get(code, {}))
    assert response.headers["x-request-id"]
    assert ("retry-after" in response.headers) == (code in RETRY_AFTER)
    assert ("www-authenticate" in response.headers) == (code == "unauthorized")


def test_the_table_of_problems_has_the_same_statuses() -> None:
    statuses = {error.code: error.status_code for error in AppError.__subclasses__()}
    assert {code: statuses[code] for code in CODES} == CODES
