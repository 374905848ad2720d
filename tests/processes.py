"""The RunningHub simulator and the service as real processes on free ports, for tests from outside.

with start_simulator(run_time=0.3) as simulator:
    with start_service(simulator.url, tmp_path / "tasks.db") as service:
        http_client.get(f"{service.url}/health")
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from simulator.command_line import free_port as free_port
from tests.fork_server import ForkedProcess, fork_server

ROOT = Path(__file__).parent.parent
API_KEY = "0123456789abcdef0123456789abcdef"
START_TIMEOUT_S = 90  # on a loaded machine; a process that ends is noticed at once
STOP_TIMEOUT_S = 15

Process = subprocess.Popen[bytes] | ForkedProcess
# Starts a process that prints to the file it is given.
Start = Callable[[Path], Process]


@dataclass(frozen=True, slots=True)
class Running:
    """A process that answers at `url`; all it prints is in the file `log`."""

    url: str
    process: Process
    log: Path

    def kill(self) -> None:
        """As a crash would: SIGKILL to the process and the workers it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=STOP_TIMEOUT_S)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _is_listening(self.url) and time.monotonic() < deadline:  # the workers end a moment later
            time.sleep(0.01)


def _is_listening(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


@contextmanager
def start_simulator(*, port: int = 0, **switches: Any) -> Iterator[Running]:
    """The simulator, its switches by name: `start_simulator(run_time=0.3, slots=1)`."""
    port = port or free_port()
    arguments = ["--port", str(port)]
    for name, value in ({"files_port": port} | switches).items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    start = partial(start_module, ["simulator", *arguments], clean_environment(), ROOT)
    with _running(start, port, "/simulator/switches") as simulator:
        yield simulator


@contextmanager
def start_service(
    simulator_url: str,
    database: Path,
    *,
    env: Mapping[str, str] | None = None,
    workers: int = 1,
    port: int = 0,
    arguments: Sequence[str] = (),
) -> Iterator[Running]:
    """The service on `database`; `env` adds settings, `arguments` go to uvicorn."""
    port = port or free_port()
    program = ["uvicorn", "main:app", "--app-dir", str(ROOT), "--no-server-header"]
    program += ["--port", str(port), "--workers", str(workers), *arguments]
    settings = {"DATABASE_URL": f"sqlite:///{database.absolute()}", **(env or {})}
    if "RUNNINGHUB_ACCOUNTS" not in settings:
        settings = {"RUNNINGHUB_API_KEY": API_KEY, "RUNNINGHUB_BASE_URL": simulator_url} | settings
    # Beside the database, so that a developer's own .env is not read.
    environment, folder = clean_environment() | settings, database.parent
    if workers == 1 and not arguments:
        start = partial(start_module, program, environment, folder)
    else:
        start = partial(_execute, [sys.executable, "-m", *program], environment, folder)
    with _running(start, port, "/health") as service:
        yield service


@contextmanager
def start_s3_server(*, port: int = 0) -> Iterator[Running]:
    """An S3 store that keeps its objects in memory; it has no bucket yet."""
    port = port or free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    start = partial(_execute, command, clean_environment(), ROOT)
    with _running(start, port, "/moto-api/") as server:
        yield server


@contextmanager
def start_program(
    command: list[str], port: int, path: str, *, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> Iterator[Running]:
    """Another program, up as soon as it responds to a GET of `path` by 200."""
    start = partial(_execute, command, clean_environment() | dict(env or {}), cwd)
    with _running(start, port, path) as program:
        yield program


def start_module(program: list[str], environment: dict[str, str], cwd: Path, log: Path) -> Process:
    """As `python -m`, printing to `log`; elsewhere than on Linux a process with such imports may not fork."""
    if sys.platform == "linux":
        return fork_server().start(program, env=environment, cwd=cwd, log=log)
    return _execute([sys.executable, "-m", *program], environment, cwd, log)


def clean_environment() -> dict[str, str]:
    """What programs need to run, and none of the service's settings."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _execute(command: list[str], environment: dict[str, str], cwd: Path, log: Path) -> Process:
    with log.open("ab") as output:
        return subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=output, stderr=output, start_new_session=True
        )


@contextmanager
def _running(start: Start, port: int, path: str) -> Iterator[Running]:
    with tempfile.NamedTemporaryFile(prefix=f"{port}-", suffix=".log", delete=False) as output:
        log = Path(output.name)
    running = Running(f"http://127.0.0.1:{port}", start(log), log)
    try:
        _wait_until_up(running, port, path)
        yield running
    finally:
        _stop(running.process)
        log.unlink()


def _wait_until_up(running: Running, port: int, path: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers(port, path):
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{running.process.args!r} did not start:\n{running.log.read_text()}")
        time.sleep(0.02)


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered by 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _stop(process: Process) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # workers of a process that was killed, too
    process.wait()
