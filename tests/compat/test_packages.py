"""Published clients of RunningHub, unchanged, in front of the simulator and through the service.

They run in processes of their own with their own packages (tests/compat/requirements.txt).
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simulator.apps import IMAGE_TO_IMAGE, TEXT_TO_IMAGE
from tests.compat.conftest import TOKEN, Json
from tests.processes import API_KEY, ROOT, Running, clean_environment, start_service

pytestmark = pytest.mark.processes

PYTHON = ROOT / ".venv/compat/bin/python"
CLIENTS = Path(__file__).parent / "clients"
TIMEOUT_S = 90
SETTINGS = {
    "ACCESS_TOKENS": TOKEN,
    "POLL_INTERVAL_S": "0.05",
    "POLL_INTERVAL_MAX_S": "0.1",
    "OUTPUTS_MIN_FREE_MB": "0",
}
MODEL = "rhart-image-n-pro/text-to-image"


@dataclass(frozen=True, slots=True)
class Target:
    """What a client is pointed to; `is_ours`: the service, whose task ids and addresses are its own."""

    url: str
    key: str
    is_ours: bool


@pytest.fixture(scope="module")
def service(simulator: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("service")
    with start_service(simulator.url, directory / "tasks.db", env=SETTINGS) as service:
        yield service


@pytest.fixture(params=["simulator", "service"])
def target(request: pytest.FixtureRequest, simulator: Running, service: Running) -> Target:
    if request.param == "simulator":
        return Target(simulator.url, API_KEY, is_ours=False)
    return Target(service.url, TOKEN, is_ours=True)


def run(script: str, target: Target, argument: object) -> tuple[Any, str]:
    """What the script's last line says, and all that the client printed."""
    if not PYTHON.exists():
        pytest.skip("the clients are not installed: make .venv/compat/installed")
    done = subprocess.run(
        [PYTHON, CLIENTS / script, target.url, target.key, str(argument)],
        env=clean_environment() | {"HOME": "/nonexistent", "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


def require_own(target: Target, task_id: str, printed: str) -> None:
    """Through the service, ids are the service's own, and RunningHub's key is in nothing that arrives."""
    assert len(task_id) == 19
    assert task_id.startswith("8") is target.is_ours
    assert not target.is_ours or API_KEY not in printed


def test_runninghub_sdk(target: Target, tmp_path: Path) -> None:
    found, printed = run("sdk_sequence.py", target, tmp_path)

    require_own(target, found["task_id"], printed)
    assert (found["is_valid_key"], found["is_wrong_key_refused"]) == (True, target.is_ours)
    assert found["account"]["remain_coins"].isdecimal()
    assert found["account"]["current_task_counts"] == "0"
    assert found["queue"]["concurrent_limit"] == 9999
    assert [output["file_type"] for output in found["outputs"]] == ["png"]
    assert all(size > 0 for _, size in found["files"])
    assert found["uploaded"]["file_name"].startswith("openapi/")
    assert found["v2"] == "TaskStatus.SUCCESS"
    assert "3" in found["graph"]
    assert found["created"] == 1
    assert found["model"][0] == "TaskStatus.SUCCESS"
    assert found["model"][1][0]["url"].startswith("http")
    assert found["async"] == "png"


def test_runninghub_cli(target: Target, tmp_path: Path) -> None:
    picture, saved, model_saved = tmp_path / "in.png", tmp_path / "out.png", tmp_path / "model.png"
    picture.write_bytes(b"\x89PNG some bytes")
    commands = [
        ["account", "status"],
        ["app", "info", TEXT_TO_IMAGE],
        ["app", "run", IMAGE_TO_IMAGE, "--file", f"39:image={picture}", "--output", str(saved)],
        ["model", "run", MODEL, "--prompt", "a cat", "--output", str(model_saved)],
        ["app", "run", TEXT_TO_IMAGE, "--node", "15:txt=a cat"],
        ["task", "status", "1"],
    ]

    results, printed = run("cli_commands.py", target, json.dumps(commands))

    replies: list[Json] = [json.loads(output) for _, output in results]
    account, form, ran, model, refused, unknown = replies
    assert [code for code, _ in results] == [0, 0, 0, 0, 1, 0]
    assert (account["remainCoins"], account["currentTaskCounts"]) == ("99999", "0")
    assert {"nodeId", "fieldName", "fieldType", "fieldValue"} <= form["nodes"][0].keys()
    require_own(target, ran["taskId"], printed)
    assert (ran["status"], model["status"]) == ("SUCCESS", "SUCCESS")
    assert [output["fileType"] for output in ran["outputs"]] == ["png", "txt"]
    assert saved.stat().st_size > 0
    assert model_saved.stat().st_size > 0
    assert f"code={433 if target.is_ours else 803}" in refused["message"]
    assert unknown == {"taskId": "1", "status": "FAILED", "message": "APIKEY_TASK_NOT_FOUND"}


def test_comfykit(target: Target, tmp_path: Path) -> None:
    found, printed = run("comfykit_sequence.py", target, tmp_path)

    assert (found["status"], found["message"]) == ("completed", None)
    require_own(target, found["task_id"], printed)
    assert found["uploaded"].startswith("api/")
    assert found["bytes"] > 0
    assert found["images"][0].startswith("http://127.0.0.1:")
