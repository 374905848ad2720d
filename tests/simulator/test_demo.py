"""The command line of `make demo`."""

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from simulator import demo
from tests.processes import ROOT, clean_environment, free_port


@pytest.mark.parametrize(
    ("arguments", "environment", "line"),
    [
        (["--port", "99999"], {}, "argument --port: '99999' is not a port number (0 to 65535)"),
        ([], {"PORT": "99999"}, "argument --port: '99999' is not a port number (0 to 65535)"),
        ([], {"SIMULATOR_PORT": "many"}, "argument --simulator-port: 'many' is not a port number"),
    ],
)
def test_a_wrong_port_gives_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    line: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        demo.main(arguments)
    said = capsys.readouterr().err
    assert (stopped.value.code, said.count("\n")) == (2, 1)
    assert line in said


def test_a_port_in_use_gives_one_line_with_another(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        with pytest.raises(SystemExit) as stopped:
            demo.main([])
    assert stopped.value.code == 1
    advice = f"Choose another: make demo PORT={port + 1}"
    said = f"python -m simulator.demo: cannot listen on 127.0.0.1:{port}: Address already in use. {advice}\n"
    assert capsys.readouterr().err == said


def test_an_address_that_is_not_here_gives_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        demo.main(["--host", "192.0.2.1", "--port", "0"])
    said = capsys.readouterr().err
    assert said.startswith("python -m simulator.demo: cannot listen on 192.0.2.1:0: Cannot assign requested")


@pytest.mark.processes
def test_ports_come_from_the_environment_when_no_option_is_given(tmp_path: Path) -> None:
    port, simulator_port = free_port(), free_port()
    command = [sys.executable, "-m", "simulator.demo"]
    environment = clean_environment() | {
        "PORT": str(port),
        "SIMULATOR_PORT": str(simulator_port),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'tasks.db'}",
    }
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            said = "".join(process.stdout.readline() for _ in range(6))
            assert f"http://127.0.0.1:{port}/docs" in said
            assert f"http://127.0.0.1:{simulator_port}/" in said
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
                assert response.status == 200
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
