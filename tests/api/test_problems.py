"""Every refusal and fault comes out as one envelope, with the headers of every other answer."""

import json
import logging
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, UploadFile
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from api.middleware import install_middleware
from api.problems import (
    InternalError,
    problem_response,
    problem_table,
)
from config import Settings
from errors import AppError, InvalidRequest, RunningHubRejected, TooManyPending, Unauthorized

pytestmark = pytest.mark.anyio

PASSWORD = "open sesame"
NO_DOTENV: dict[str, Any] = {"_env_file": None}


class Run(BaseModel):
    webapp_id: str
    access_password: Annotated[str, Field(max_length=5)] = ""


router = APIRouter(max_body_size=1000)


@router.post("/run")
async def run(body: Run) -> dict[str, str]:
    return {"id": body.webapp_id}


@router.post("/numbers")
async def numbers(body: list[int]) -> None: ...


@router.post("/upload")
async def upload(file: UploadFile) -> None: ...


@router.get("/pending")
async def pending() -> None:
    raise TooManyPending("1000 tasks are waiting.", retry_after=5)


@router.get("/rejected")
async def rejected() -> None:
    raise RunningHubRejected("RunningHub said no.", upstream={"code": 9, "msg": "不行"}, task_id="t1")


@router.get("/fault")
async def fault() -> None:
    raise ZeroDivisionError(PASSWORD)


@router.get("/half")
async def half() -> StreamingResponse:
    async def body() -> Any:
        yield b"half"
        raise ZeroDivisionError

    return StreamingResponse(body())


@router.get("/gone")
async def gone() -> None:
    raise ClientDisconnect


@router.get("/http/{status}")
async def http_exception(status: int) -> None:
    raise HTTPException(status, "words of a library")


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    install_middleware(app, Settings(**NO_DOTENV))
    app.include_router(router)
    return app


@pytest.fixture
def http(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


def invalid(detail: str, **members: Any) -> dict[str, Any]:
    return {
        "type": "/docs#problem-invalid_request",
        "title": "Body, query or path is invalid",
        "status": 422,
        "detail": detail,
        "code": "invalid_request",
        **members,
    }


TOO_LARGE = {
    "type": "/docs#problem-body_too_large",
    "title": "The body is larger than 4 MB",
    "status": 413,
    "detail": "The body is larger than this route accepts; a JSON body may have 4 MB.",
    "code": "body_too_large",
}


async def test_a_problem_with_a_wait_says_how_long(http: httpx.AsyncClient) -> None:
    answer = await http.get("/pending")
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5"
    assert answer.json() == {
        "type": "/docs#problem-too_many_pending",
        "title": "MAX_PENDING_TASKS tasks are waiting",
        "status": 429,
        "detail": "1000 tasks are waiting.",
        "code": "too_many_pending",
    }


async def test_a_problem_passes_on_what_runninghub_said_and_which_task_it_left(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.get("/rejected")
    assert answer.status_code == 502
    assert answer.json() == {
        "type": "/docs#problem-runninghub_rejected",
        "title": "RunningHub returned a code that has no more specific problem here",
        "status": 502,
        "detail": "RunningHub said no.",
        "code": "runninghub_rejected",
        "upstream": {"code": 9, "msg": "不行"},
        "task_id": "t1",
    }


async def test_a_body_that_does_not_fit_is_told_where_and_never_shown(http: httpx.AsyncClient) -> None:
    answer = await http.post("/run", json={"access_password": PASSWORD})
    assert answer.status_code == 422
    assert answer.json() == invalid(
        "The request is invalid at body.webapp_id: Field required.",
        errors=[
            {"loc": ["body", "webapp_id"], "msg": "Field required"},
            {"loc": ["body", "access_password"], "msg": "String should have at most 5 characters"},
        ],
    )
    assert PASSWORD not in answer.text


async def test_a_body_that_is_no_json_is_told_where(http: httpx.AsyncClient) -> None:
    answer = await http.post("/run", content='{"a" 1}', headers={"Content-Type": "application/json"})
    message = "Not valid JSON: Expecting ':' delimiter"
    assert answer.json() == invalid(
        f"The request is invalid at body.5: {message}.", errors=[{"loc": ["body", 5], "msg": message}]
    )


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_json_without_its_content_type_is_told_which_header_to_send(
    http: httpx.AsyncClient, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await http.post("/run", content=b'{"webapp_id": "1"}', headers=headers)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert answer.json() == invalid(
        "The body was not read as JSON: send it with the header Content-Type: application/json.",
        errors=[error],
    )


@pytest.mark.parametrize("content", [b"\xff\xfe{", b'{"webapp_id": "\xff"}', b'{"webapp_id": ["\\ud800"]}'])
async def test_bytes_that_are_no_text_are_422(http: httpx.AsyncClient, content: bytes) -> None:
    answer = await http.post("/run", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_broken_multipart_body_is_422(http: httpx.AsyncClient) -> None:
    answer = await http.post("/upload", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert answer.status_code == 422
    problem = "The request could not be read: Missing boundary in multipart."
    assert answer.json() == invalid(problem, errors=[{"loc": ["body"], "msg": problem}])


async def test_an_unknown_route_is_not_found(http: httpx.AsyncClient) -> None:
    answer = await http.get("/nowhere")
    assert answer.status_code == 404
    assert answer.json() == {
        "type": "/docs#problem-not_found",
        "title": "There is no such route",
        "status": 404,
        "detail": "There is no such route; /docs lists them all.",
        "code": "not_found",
    }


async def test_a_wrong_method_is_told_the_right_one(http: httpx.AsyncClient) -> None:
    answer = await http.delete("/run")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json() == {
        "type": "/docs#problem-method_not_allowed",
        "title": "The route exists, but not with this method",
        "status": 405,
        "detail": "This route does not accept DELETE; the Allow header lists what it accepts.",
        "code": "method_not_allowed",
    }


async def test_a_body_declared_too_large_is_a_problem_with_our_headers(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/run", json={"webapp_id": "x" * 2000}, headers={"Origin": "http://localhost:5173"}
    )
    assert answer.status_code == 413
    assert answer.json() == TOO_LARGE
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_body_that_grows_too_large_is_the_same_problem(http: httpx.AsyncClient) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 100

    answer = await http.post("/run", content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json() == TOO_LARGE


@pytest.mark.parametrize(
    ("status", "ours", "code"),
    [
        (400, 422, "invalid_request"),
        (401, 404, "not_found"),
        (418, 422, "invalid_request"),
        (503, 500, "internal_error"),
    ],
)
async def test_a_librarys_own_refusal_gets_the_code_that_is_nearest(
    http: httpx.AsyncClient, status: int, ours: int, code: str
) -> None:
    answer = await http.get(f"/http/{status}")
    assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (ours, ours, code)


async def test_a_fault_is_answered_with_its_request_id_and_logged_with_its_traceback(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await http.get("/fault", headers={"X-Request-ID": "r-1", "Origin": "http://localhost:5173"})
    assert answer.status_code == 500
    assert answer.json() == {
        "type": "/docs#problem-internal_error",
        "title": "An error in this service",
        "status": 500,
        "detail": "This is an error in the service; its log has it under this request_id.",
        "code": "internal_error",
        "request_id": "r-1",
    }
    assert answer.headers["x-request-id"] == "r-1"
    assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert answer.headers["x-frame-options"] == "DENY"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError


async def test_a_fault_in_the_middle_of_an_answer_reaches_the_server(http: httpx.AsyncClient) -> None:
    with pytest.raises(ZeroDivisionError):
        await http.get("/half")


async def test_a_client_that_went_away_is_no_fault(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/gone",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    with caplog.at_level(logging.INFO):
        await app(scope, receive, send)
    assert sent == []
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]


def test_half_a_character_from_a_client_does_not_break_the_answer() -> None:
    answer = problem_response(InvalidRequest("no \ud800 here"))
    assert json.loads(bytes(answer.body))["detail"] == "no ? here"


async def test_only_the_first_fifty_errors_are_listed(http: httpx.AsyncClient) -> None:
    answer = await http.post("/numbers", json=["x"] * 100)
    assert len(answer.json()["errors"]) == 50


def test_an_unauthorized_problem_names_the_scheme() -> None:
    assert problem_response(Unauthorized("no")).headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("error", [*AppError.__subclasses__()], ids=lambda error: error.code)
def test_every_problem_has_a_title_and_stands_in_the_table(error: type[AppError]) -> None:
    assert error.__doc__
    title = error.__doc__.splitlines()[0].rstrip(".")
    assert f"| `{error.code}` | {error.status_code} | {title} |" in problem_table()


def test_internal_error_is_the_only_500() -> None:
    assert [error for error in AppError.__subclasses__() if error.status_code == 500] == [InternalError]
