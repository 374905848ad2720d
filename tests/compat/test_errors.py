"""Problems in RunningHub's codes."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.compat.errors import Refusal, refusal_of, refusal_response, v2_task_refusal
from errors import (
    AppError,
    DatabaseUnavailable,
    FileTooLarge,
    InsufficientBalance,
    InvalidNodeInfo,
    InvalidRequest,
    RateLimited,
    RunningHubRejected,
    RunningHubUnavailable,
    TaskNotFound,
    TooManyPending,
    Unauthorized,
    UnsupportedFile,
    WorkflowNotFound,
)


@pytest.mark.parametrize(
    ("problem", "refusal"),
    [
        (Unauthorized("x"), Refusal(806, "APIKEY_USER_NOT_FOUND")),
        (TaskNotFound("x"), Refusal(807, "APIKEY_TASK_NOT_FOUND")),
        (TooManyPending("x"), Refusal(421, "TASK_QUEUE_MAXED")),
        (RateLimited("x"), Refusal(1003, "RATE_LIMIT")),
        (WorkflowNotFound("x"), Refusal(380, "WORKFLOW_NOT_EXISTS")),
        (FileTooLarge("x"), Refusal(809, "APIKEY_FILE_SIZE_EXCEEDED")),
        (UnsupportedFile("x"), Refusal(808, "APIKEY_UPLOAD_FAILED")),
        (InvalidRequest("taskId cannot be empty"), Refusal(301, "taskId cannot be empty")),
        (RunningHubUnavailable("Try again."), Refusal(1000, "Try again.")),
        (DatabaseUnavailable("It is full."), Refusal(1000, "It is full.")),
    ],
)
def test_every_problem_has_a_code_of_runninghubs(problem: AppError, refusal: Refusal) -> None:
    assert refusal_of(problem) == refusal


@pytest.mark.parametrize(
    ("kind", "code", "msg"),
    [
        (RunningHubRejected, 810, "WORKFLOW_NOT_SAVED_OR_NOT_RUNNING"),
        (InsufficientBalance, 416, "TASK_CREATE_FAILED_BY_NOT_ENOUGH_WALLET"),
        (WorkflowNotFound, 380, "WORKFLOW_NOT_EXISTS"),
    ],
)
def test_runninghubs_own_code_is_passed_on(kind: type[AppError], code: int, msg: str) -> None:
    assert refusal_of(kind("x", upstream={"code": code, "msg": msg})) == Refusal(code, msg)


@pytest.mark.parametrize("code", [806, 802, 401, -1])
def test_a_refusal_of_the_services_own_key_is_not_passed_on(code: int) -> None:
    problem = RunningHubRejected("Check the key.", upstream={"code": code, "msg": "APIKEY_UNAUTHORIZED"})

    assert refusal_of(problem) == Refusal(1000, "Check the key.")


def test_a_field_that_runninghub_does_not_know_keeps_its_code() -> None:
    msg = "NODE_INFO_MISMATCH(nodeId=1, fieldName=a, reason=node_not_found_in_workflow)"
    errors: list[dict[str, Any]] = [{"nodeId": "1", "fieldName": "a", "msg": "x"}]

    problem = InvalidNodeInfo("x", upstream={"code": 803, "msg": msg}, errors=errors)

    assert refusal_of(problem) == Refusal(803, msg)


def test_invalid_values_are_named_by_node() -> None:
    errors: list[dict[str, Any]] = [
        {"nodeId": "3", "fieldName": "steps", "msg": "Not a number."},
        {"nodeId": "3", "fieldName": "cfg", "msg": "Too large."},
    ]
    problem = InvalidNodeInfo("Some values are not valid.", errors=errors)

    reply = json.loads(bytes(refusal_response(problem).body))
    in_v2 = json.loads(bytes(v2_task_refusal(refusal_of(problem)).body))

    assert reply["code"] == 433
    assert reply["msg"].startswith("VALIDATE_PROMPT_FAILED: nodeId=3, fieldName=steps: Not a number.; ")
    assert [error["message"] for error in reply["data"]["node_errors"]["3"]["errors"]] == [
        "Not a number.",
        "Too large.",
    ]
    assert in_v2["errorCode"] == "433"
    assert json.loads(in_v2["promptTips"])["node_errors"] == reply["data"]["node_errors"]


def test_half_a_surrogate_pair_is_no_error() -> None:
    assert refusal_response(InvalidRequest("\ud800")).status_code == 200


@pytest.mark.anyio
@pytest.mark.processes
@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_body_that_is_too_large_gets_an_envelope(
    service: httpx.AsyncClient, is_declared: bool
) -> None:
    body = b"x" * (5 * 2**20)

    async def in_parts() -> AsyncIterator[bytes]:
        yield body

    response = await service.post("/task/openapi/create", content=body if is_declared else in_parts())

    assert response.status_code == 200
    assert (response.json()["code"], response.json()["data"]) == (1000, None)
    assert "4 MB" in response.json()["msg"]
