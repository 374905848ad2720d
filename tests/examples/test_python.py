"""The Python examples as programs, and their submit over a connection that breaks."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from PIL import Image

from simulator.apps import ALWAYS_FAILS, TEXT_TO_IMAGE
from tests.http_client import http_client
from tests.processes import ROOT, Running, clean_environment, start_service, start_simulator

EXAMPLES = ROOT / "examples/python"
QUICK = {"POLL_INTERVAL_S": "0.1", "POLL_INTERVAL_MAX_S": "0.2"}
TOKEN = "a-long-random-word"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
BODY = {"webappId": TEXT_TO_IMAGE, "nodeInfoList": []}

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def simulator() -> Iterator[Running]:
    with start_simulator(queue_time=0.1, run_time=0.2, slots=0) as running:
        yield running


@pytest.fixture(scope="module")
def service(simulator: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    database = tmp_path_factory.mktemp("service") / "tasks.db"
    with start_service(simulator.url, database, env={**QUICK, "ACCESS_TOKENS": TOKEN}) as running:
        yield running


@pytest.fixture(autouse=True)
def reset(simulator: Running) -> None:
    http_client.post(f"{simulator.url}/simulator/reset")


@pytest.fixture
def run_app(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as a module; the async one imports it too."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return __import__("run_app")


@pytest.fixture
def run_app_async(run_app: ModuleType) -> ModuleType:
    return __import__("run_app_async")


class LosesFirstResponse(httpx.HTTPTransport):
    """Every request arrives; the first response does not."""

    is_lost = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        response.read()
        if not self.is_lost:
            self.is_lost = True
            raise httpx.ReadError("lost")
        return response


class LosesFirstResponseAsync(httpx.AsyncHTTPTransport):
    is_lost = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        await response.aread()
        if not self.is_lost:
            self.is_lost = True
            raise httpx.ReadError("lost")
        return response


def run_program(
    name: str, *arguments: str, service: Running, folder: Path, token: str = TOKEN
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=folder,
        env=clean_environment() | {"GATEWAY_URL": service.url, "GATEWAY_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
    )


def paid_runs(simulator: Running) -> int:
    accepted: int = http_client.get(f"{simulator.url}/simulator/counters").json()["runs_accepted"]
    return accepted


def test_a_prompt_becomes_a_picture(service: Running, tmp_path: Path) -> None:
    done = run_program("run_app.py", "a dog", service=service, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / done.stdout.strip()) as picture:
        picture.load()
        assert picture.format == "PNG"


def test_a_picture_is_uploaded_and_used(service: Running, simulator: Running, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "in.png")
    done = run_program("run_app.py", "a dog", "in.png", service=service, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 2
    (task,) = http_client.get(f"{simulator.url}/simulator/tasks").json()
    assert "api/" in json.dumps(task)


def test_a_refusal_is_one_line(service: Running, tmp_path: Path) -> None:
    done = run_program("run_app.py", "a dog", service=service, folder=tmp_path, token="wrong")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("(unauthorized)")
    assert "Traceback" not in done.stderr


def test_several_prompts_run_at_the_same_time(service: Running, simulator: Running, tmp_path: Path) -> None:
    done = run_program("run_app_async.py", "a cat", "a dog", service=service, folder=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert sorted(line.split(": ")[0] for line in done.stdout.splitlines()) == ["a cat", "a dog"]
    assert len(list(tmp_path.glob("*.png"))) == 2
    assert http_client.get(f"{simulator.url}/simulator/counters").json()["max_active"] == 2


def test_a_lost_response_is_paid_once(service: Running, simulator: Running, run_app: ModuleType) -> None:
    with httpx.Client(base_url=service.url, headers=HEADERS, transport=LosesFirstResponse()) as gateway:
        task_id = run_app.submit(gateway, BODY, "key-1")
    assert task_id
    assert paid_runs(simulator) == 1


def test_a_lost_response_is_paid_once_async(
    service: Running, simulator: Running, run_app_async: ModuleType
) -> None:
    async def submit() -> str:
        async with httpx.AsyncClient(
            base_url=service.url, headers=HEADERS, transport=LosesFirstResponseAsync()
        ) as gateway:
            return str(await run_app_async.submit(gateway, BODY, "key-2"))

    assert asyncio.run(submit())
    assert paid_runs(simulator) == 1


def test_a_failed_task_is_an_error_with_its_reason(service: Running, run_app: ModuleType) -> None:
    with httpx.Client(base_url=service.url, headers=HEADERS) as gateway:
        task_id = run_app.submit(gateway, BODY | {"webappId": ALWAYS_FAILS}, "key-3")
        task = run_app.wait(gateway, task_id)
    with pytest.raises(run_app.TaskFailed, match="FAILED: Allocation on device"):
        run_app.results(task)
