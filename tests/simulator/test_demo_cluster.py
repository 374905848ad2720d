"""`make demo-cluster`: three instances behind nginx, with one command."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from simulator import demo_cluster, local_postgres
from tests.processes import ROOT, clean_environment, free_port

WEBAPP_ID = "1992755951447109633"


@pytest.mark.parametrize(
    ("has_postgres", "has_nginx", "line"),
    [
        (False, False, "install postgresql and nginx first: apt-get install postgresql nginx"),
        (False, True, "install postgresql first: apt-get install postgresql"),
        (True, False, "install nginx first: apt-get install nginx"),
        (True, True, None),
    ],
)
def test_a_missing_program_is_one_line_with_its_package(
    monkeypatch: pytest.MonkeyPatch, has_postgres: bool, has_nginx: bool, line: str | None
) -> None:
    monkeypatch.setattr(local_postgres, "program", lambda name: name if has_postgres else None)
    monkeypatch.setattr(shutil, "which", lambda name, path: name if has_nginx else None)
    assert demo_cluster.missing_packages() == line


def test_nginx_is_configured_as_in_deployment_but_without_tls() -> None:
    shipped = (ROOT / "deploy/nginx.conf").read_text("utf-8")
    config = demo_cluster.nginx_config(shipped, Path("/folder"), "127.0.0.1:8000", [8001, 8002, 8003])
    assert "listen 127.0.0.1:8000;" in config
    assert re.findall(r"server 127.0.0.1:(\d+)", config) == ["8001", "8002", "8003"]
    assert config.count("proxy_pass http://gateway;") == 2
    assert not re.search("ssl_|443|Strict-Transport|tasks.example.com", config)
    for line in ("proxy_buffering         off;", "client_max_body_size 0;", "proxy_read_timeout      330s;"):
        assert line in config


@dataclass(frozen=True, slots=True)
class Demo:
    process: subprocess.Popen[str]
    client: httpx.Client
    instances: list[int]
    folder: Path


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Started as `make` does; what it leaves behind would be in `folder`."""
    if line := demo_cluster.missing_packages():
        pytest.skip(line)
    os.chmod(tmp_path, 0o711)  # noqa: S103 - PostgreSQL's user passes through
    port, simulator_port = free_port(), free_port()
    command = [sys.executable, "-m", "simulator.demo_cluster", "--simulator-port", str(simulator_port)]
    environment = clean_environment() | {"PORT": str(port)}
    with (
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        assert process.stdout
        try:
            said = ""
            for line in process.stdout:
                said += line
                if "Ctrl-C" in line:
                    break
            assert f"The page                http://127.0.0.1:{port}/\n" in said
            assert f"http://127.0.0.1:{simulator_port}/" in said
            instances = [int(number) for number in re.findall(r"process (\d+)", said)]
            yield Demo(process, client, instances, tmp_path)
        finally:
            process.send_signal(signal.SIGINT)


@pytest.mark.processes
def test_an_app_runs_through_the_proxy_also_after_an_instance_was_killed(demo: Demo) -> None:
    assert demo.client.get("/").text.startswith("<!doctype html>")
    os.kill(demo.instances[0], signal.SIGKILL)
    submitted = demo.client.post("/submit_task", json={"webappId": WEBAPP_ID, "nodeInfoList": []})
    assert submitted.status_code == 202
    path = f"/tasks/{submitted.json()['task_id']}"
    with demo.client.stream("GET", f"{path}/events") as events:
        assert '"status":"SUCCESS"' in events.read().decode()
    for _ in demo.instances:  # whichever instance is next
        assert demo.client.get(path).json()["status"] == "SUCCESS"
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(timeout=60) == 0
    for process in demo.instances:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
