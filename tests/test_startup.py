"""Starting the service: `python main.py`, what the log says first, and what a failed start prints."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config import STARTUP_FAILURE, VERSION
from main import create_app
from tests.conftest import API_KEY, settings_with
from tests.http_client import http_client
from tests.log_capture import Log
from tests.processes import ROOT, clean_environment, free_port, start_module

START_TIMEOUT_S = 30
TOKEN = "a-long-random-token"


def start(tmp_path: Path, **env: str) -> "subprocess.Popen[str]":
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path / 'tasks.db'}"} | env
    return subprocess.Popen(
        [sys.executable, str(ROOT / "main.py")],
        cwd=tmp_path,
        env=clean_environment() | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def failed_start(tmp_path: Path, **env: str) -> tuple[int, str]:
    """The exit code and everything printed."""
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path / 'tasks.db'}"} | env
    log = tmp_path / "log"
    log.touch()
    process = start_module(["main"], clean_environment() | settings, tmp_path, log)
    try:
        return process.wait(timeout=START_TIMEOUT_S), log.read_text()
    finally:
        process.kill()


@pytest.mark.processes
def test_python_main_listens_at_host_and_port_and_logs_in_one_format(tmp_path: Path) -> None:
    port = free_port()
    with start(tmp_path, HOST="127.0.0.1", PORT=str(port), RUNNINGHUB_API_KEY=API_KEY) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Uvicorn running on" in line:
                response = http_client.get(f"http://127.0.0.1:{port}/health")
                process.terminate()
    assert process.returncode == -signal.SIGTERM  # as uvicorn ends
    assert response.status_code == 200
    assert "server" not in response.headers
    assert {line.split()[2] for line in lines} == {"uvicorn", "main"}


@pytest.mark.processes
@pytest.mark.parametrize("port", ["99999", "0", "http"])
def test_a_port_that_cannot_be_is_one_line(tmp_path: Path, port: str) -> None:
    code, printed = failed_start(tmp_path, PORT=port)
    assert code == STARTUP_FAILURE
    assert re.fullmatch(r"PORT is wrong: Input should be [^\n]+\. Example: PORT=8000\n", printed)


@pytest.mark.processes
def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, printed = failed_start(tmp_path, HOST="127.0.0.1", PORT=str(port), LOG_LEVEL="ERROR")
    assert code == STARTUP_FAILURE
    (line,) = printed.splitlines()
    assert f"('127.0.0.1', {port}): address already in use" in line


@pytest.mark.processes
def test_a_missing_database_folder_is_one_line_with_the_settings_name(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/tasks.db"
    code, printed = failed_start(tmp_path, DATABASE_URL=url, PORT=str(free_port()), LOG_LEVEL="ERROR")
    assert code == STARTUP_FAILURE
    # uvicorn adds that it exits.
    (line,) = [line for line in printed.splitlines() if "Application startup failed" not in line]
    assert line.endswith(f"DATABASE_URL={url} cannot be used: the folder {tmp_path}/nowhere does not exist")


@pytest.mark.processes
def test_postgresql_is_refused_in_one_line_without_its_password(tmp_path: Path) -> None:
    code, printed = failed_start(
        tmp_path,
        DATABASE_URL="postgresql://user:pa55word@db/tasks",
        SECRET_KEY="k" * 32,
        PORT=str(free_port()),
        LOG_LEVEL="ERROR",
    )
    assert code == STARTUP_FAILURE
    assert "DATABASE_URL=postgresql://user:***@db/tasks cannot be used: " in printed
    assert "pa55word" not in printed
    assert "Traceback" not in printed


async def logged_at_start(log: Log, tmp_path: Path, **values: Any) -> list[dict[str, Any]]:
    settings = settings_with(database_url=f"sqlite:///{tmp_path / 'tasks.db'}", log_format="json", **values)
    app = create_app(settings)
    log.attach()
    async with app.router.lifespan_context(app):
        lines = [line for line in log.objects if line["logger"] == "main"]
    for line in lines:
        del line["time"], line["logger"]
    return lines


@pytest.mark.anyio
async def test_the_first_line_says_which_settings_count(log: Log, tmp_path: Path) -> None:
    lines = await logged_at_start(log, tmp_path, access_tokens=TOKEN)
    assert lines == [
        {
            "level": "INFO",
            "message": "started",
            "version": VERSION,
            "runninghub": "http://runninghub.test",
            "database": f"sqlite:///{tmp_path / 'tasks.db'}",
            "api_key": "set",
            "access_tokens": "set",
        }
    ]
    assert TOKEN not in log.stream.getvalue()
    assert API_KEY not in log.stream.getvalue()


@pytest.mark.anyio
async def test_a_missing_key_is_a_warning(log: Log, tmp_path: Path) -> None:
    started, warning = await logged_at_start(log, tmp_path, runninghub_api_key=None)
    assert (started["api_key"], started["access_tokens"]) == ("none", "none")
    assert warning == {
        "level": "WARNING",
        "message": "no RunningHub API key is set: calls that need RunningHub return 503",
    }


@pytest.mark.anyio
async def test_a_short_token_is_a_warning(log: Log, tmp_path: Path) -> None:
    _, warning = await logged_at_start(log, tmp_path, access_tokens=f"15-characters-x,{TOKEN}")
    assert warning == {
        "level": "WARNING",
        "message": "access tokens under 16 characters can be guessed; use longer ones",
        "short_tokens": 1,
    }
