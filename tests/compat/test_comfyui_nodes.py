"""Calls as ComfyUI_RH_OpenAPI, RunningHub's nodes for ComfyUI, makes them: standard models on v2.

Its address ends in `/openapi/v2`, its key is in `Authorization` alone. Any `errorCode` or `errorMessage` is a
failure to it, also while it polls, and it ends with an error at a status that it does not know.
"""

import httpx
import pytest

from tests.compat.conftest import TOKEN, Json, Serve, last_sent, switch, until

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

BEARER = {"Authorization": f"Bearer {TOKEN}"}
MODEL = "vendor/some-model/image-to-video"
KNOWN_STATUSES = {"CREATE", "QUEUED", "RUNNING", "SUCCESS", "FAILED", "CANCEL"}


def failed(reply: Json) -> bool:
    return bool(reply.get("errorCode") or reply.get("errorMessage"))


async def post(client: httpx.AsyncClient, path: str, **members: object) -> Json:
    response = await client.post(f"/openapi/v2/{path}", headers=BEARER, json=members)
    assert response.status_code == 200
    reply: Json = response.json()
    return reply


async def polled(client: httpx.AsyncClient, task_id: str) -> list[Json]:
    replies = await until(
        lambda: post(client, "query", taskId=task_id),
        lambda reply: failed(reply) or reply["status"] == "SUCCESS",
    )
    assert {reply["status"] for reply in replies} <= KNOWN_STATUSES
    return replies


async def test_a_model_gets_an_uploaded_picture_and_is_polled_to_its_results(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    await switch(board, queue_time=0.1, run_time=0.1)
    file = {"file": ("image.png", b"some bytes", "image/png")}
    upload = await guarded.post("/openapi/v2/media/upload/binary", headers=BEARER, files=file)
    url = upload.json()["data"]["download_url"]
    started = await post(guarded, MODEL, prompt="a cat", imageUrls=[url], duration="5")
    *_, last = await polled(guarded, started["taskId"])
    sent = (await last_sent(board, "model"))["members"]

    assert not failed(started)
    assert (sent["imageUrls"], sent["duration"]) == ([url], "5")
    assert last["status"] == "SUCCESS"
    assert any(result["url"] or result["text"] for result in last["results"])


async def test_a_model_that_waits_here_is_queued_and_no_failure(
    serve: Serve, board: httpx.AsyncClient
) -> None:
    await switch(board, run_time=30)
    async with serve(access_tokens=(TOKEN,), max_concurrent_tasks=1) as service:
        await post(service, MODEL, prompt="first")
        second = await post(service, MODEL, prompt="second")
        reply = await post(service, "query", taskId=second["taskId"])

    assert (failed(second), failed(reply)) == (False, False)
    assert (second["status"], reply["status"]) == ("QUEUED", "QUEUED")


async def test_a_model_whose_reply_was_lost_is_not_sent_again(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    """The client repeats whatever fails: a run that may have been paid for must not look like a failure."""
    await switch(board, faults={"model": {"kind": "lost_reply", "times": 1}})
    started = await post(guarded, MODEL, prompt="a cat")
    reply = await post(guarded, "query", taskId=started["taskId"])
    counters = (await board.get("/simulator/counters")).json()

    assert started["taskId"]
    assert (failed(started), failed(reply), reply["status"]) == (False, False, "RUNNING")
    assert counters["runs_accepted"] == 1


async def test_a_failed_model_has_a_code_and_a_sentence(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    await switch(board, fail_next=1)
    started = await post(guarded, MODEL, prompt="a cat")
    *_, last = await polled(guarded, started["taskId"])

    assert (last["status"], last["errorCode"]) == ("FAILED", "805")
    assert last["errorMessage"]
