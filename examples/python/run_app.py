"""Runs the text-to-image app once and saves its results: python run_app.py "a cat in the rain" [picture.png]

The service's address is read from GATEWAY_URL, the access token (where it requires one) from GATEWAY_TOKEN,
and the key of an earlier submit whose outcome is unknown from IDEMPOTENCY_KEY.
"""

import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

TEXT_TO_IMAGE = "1992755951447109633"
IMAGE_TO_IMAGE = "1993104857600000002"
FINAL = {"SUCCESS", "FAILED", "CANCELLED", "SUBMIT_UNKNOWN"}
SUBMIT_ATTEMPTS = 5
WAIT_S = 50

Json = dict[str, Any]


class TaskFailed(Exception):
    """The task ended without success."""


class OutcomeUnknown(Exception):
    """No submit got a response; one of them may have started the run."""

    def __init__(self, idempotency_key: str) -> None:
        super().__init__(f"No response. Try again later with IDEMPOTENCY_KEY={idempotency_key}")


class GatewayError(Exception):
    """A problem that the service reported; `code` is stable, the text is for people."""

    def __init__(self, problem: Json) -> None:
        super().__init__(f"{problem['detail']} ({problem['code']})")
        self.code: str = problem["code"]
        self.task_id: str | None = problem.get("task_id")
        self.is_outcome_unknown = problem["status"] >= 500


def connect(base_url: str, token: str | None) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=base_url, headers=headers, timeout=WAIT_S + 10)


def upload(gateway: httpx.Client, file: Path) -> str:
    """The value for a file field."""
    with file.open("rb") as content:
        uploaded = gateway.post("/upload", files={"file": (file.name, content)}, timeout=300)
    return str(checked(uploaded)["fileName"])


def submit(gateway: httpx.Client, body: Json, idempotency_key: str) -> str:
    """The task's id. What got no clear response is sent again with the same key: it is paid for once."""
    for attempt in range(SUBMIT_ATTEMPTS):
        if attempt:
            time.sleep(2 ** (attempt - 1))
        try:
            headers = {"Idempotency-Key": idempotency_key}
            return str(checked(gateway.post("/submit_task", json=body, headers=headers))["task_id"])
        except (GatewayError, httpx.TransportError) as error:
            if task_id := stored_task(error):
                return task_id
    raise OutcomeUnknown(idempotency_key)


def stored_task(error: GatewayError | httpx.TransportError) -> str | None:
    """The task of a failed submit; None means that its outcome is unknown. A refusal is raised again."""
    if isinstance(error, httpx.TransportError):
        return None
    if error.task_id is None and not error.is_outcome_unknown:
        raise error
    return error.task_id


def wait(gateway: httpx.Client, task_id: str) -> Json:
    """The task at its end."""
    task = checked(gateway.get(f"/tasks/{task_id}"))
    while task["status"] not in FINAL:
        print(task["status"], file=sys.stderr)
        task = checked(gateway.get(f"/tasks/{task_id}", params={"wait": WAIT_S}))  # responds at a change
    return task


def results(task: Json) -> list[tuple[str, Path]]:
    """The address of each result, and a name for it; TaskFailed without success."""
    if task["status"] != "SUCCESS":
        reason = task["error"]["message"] if task["error"] else "no reason given"
        raise TaskFailed(f"{task['status']}: {reason}")
    return [
        (output["url"], Path(f"{task['id']}-{output['n']}.{output['file_type']}"))
        for output in task["outputs"]
    ]


def save(gateway: httpx.Client, url: str, path: Path) -> Path:
    """The file, which appears when it is complete."""
    part = path.with_suffix(path.suffix + ".part")
    with gateway.stream("GET", url) as response, part.open("wb") as file:
        response.raise_for_status()
        for piece in response.iter_bytes():
            file.write(piece)
    return part.replace(path)


def checked(response: httpx.Response) -> Json:
    """The JSON of a response, or its problem (RFC 9457) as an error."""
    try:
        content: Json = response.json()
    except ValueError as error:  # a proxy's page, or half a response: whether the request arrived is unknown
        raise httpx.RemoteProtocolError(f"HTTP {response.status_code} without JSON") from error
    if response.is_error:
        raise GatewayError(content)
    return content


def request_for(prompt: str, picture: str | None) -> Json:
    """The submit's body; a field that is left out keeps the app's saved value."""
    if picture is None:
        return {"webappId": TEXT_TO_IMAGE, "values": {"15.text": prompt}}
    return {"webappId": IMAGE_TO_IMAGE, "values": {"39.image": picture, "150:5.prompt": prompt}}


def idempotency_key() -> str:
    return os.environ.get("IDEMPOTENCY_KEY") or str(uuid.uuid4())


def base_url() -> str:
    return os.environ.get("GATEWAY_URL", "http://127.0.0.1:8000")


def main(prompt: str, picture: Path | None) -> None:
    with connect(base_url(), os.environ.get("GATEWAY_TOKEN")) as gateway:
        file_name = upload(gateway, picture) if picture else None
        task_id = submit(gateway, request_for(prompt, file_name), idempotency_key())
        for url, path in results(wait(gateway, task_id)):
            print(save(gateway, url, path))


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    except (GatewayError, OutcomeUnknown, TaskFailed) as error:
        raise SystemExit(str(error)) from error
