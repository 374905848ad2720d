"""The programs under measurement, each a process of its own on a free loopback port."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.processes import answers, free_port

ROOT = Path(__file__).parent.parent
API_KEY = "0123456789abcdef0123456789abcdef"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
START_POLL_S = 0.005
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
# The same for every program that uvicorn serves. The load generator does not open a connection twice, so
# that none may be closed for being idle.
UVICORN = ("-m", "uvicorn", "--no-access-log", "--no-server-header", "--timeout-keep-alive", "75")


@dataclass(frozen=True, slots=True)
class Server:
    """A process that responds at `url`; `start_s` is how long it took to its first 200."""

    url: str
    process: psutil.Process
    start_s: float

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def rss_mb(self) -> float:
        return float(self.process.memory_info().rss) / 2**20

    @property
    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def service(upstream: Server, database: Path, source: Path = ROOT, /, **settings: str) -> Iterator[Server]:
    """Our service, or another version of it in the folder `source`.

    `settings` are environment names in lower case, all others keep their defaults.
    """
    environment = _upstream_settings(upstream) | {"DATABASE_URL": f"sqlite:///{database}"}
    environment |= {name.upper(): value for name, value in settings.items()}
    with _running([*UVICORN, "main:app", "--app-dir", str(source)], "/health", environment) as server:
        yield server


@contextmanager
def public_service(upstream: Server, database: Path, **settings: str) -> Iterator[Server]:
    """Our service with PUBLIC_URL set to its own address, so that the upstream's webhooks reach it."""
    port = free_port()
    environment = _upstream_settings(upstream) | {
        "DATABASE_URL": f"sqlite:///{database}",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        **{name.upper(): value for name, value in settings.items()},
    }
    arguments = [*UVICORN, "main:app", "--app-dir", str(ROOT)]
    with _running(arguments, "/health", environment, port) as server:
        yield server


@contextmanager
def plain(upstream: Server, database: Path) -> Iterator[Server]:
    """The plain version of the service."""
    environment = _upstream_settings(upstream) | {"DATABASE": str(database)}
    arguments = [*UVICORN, "bench.plain.main:app", "--app-dir", str(ROOT)]
    with _running(arguments, "/openapi.json", environment) as server:
        try:
            yield server
        finally:
            # Told to stop, it would wait for its pollers for ever.
            server.process.kill()


@contextmanager
def floor(upstream: Server) -> Iterator[Server]:
    """The bare routes."""
    arguments = [*UVICORN, "bench.floor:app", "--app-dir", str(ROOT)]
    with _running(arguments, "/health", _upstream_settings(upstream)) as server:
        yield server


@contextmanager
def simulator(**switches: object) -> Iterator[Server]:
    """The RunningHub simulator."""
    arguments = ["-m", "simulator"]
    for name, value in switches.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    with _running(arguments, "/simulator/counters", {"PYTHONPATH": str(ROOT)}) as server:
        yield server


@contextmanager
def aged_upstream() -> Iterator[Server]:
    """The simulator whose tasks may have any age (see `bench.upstream`)."""
    arguments = [*UVICORN, "bench.upstream:app", "--app-dir", str(ROOT)]
    with _running(arguments, "/simulator/counters", {}) as server:
        yield server


def _upstream_settings(upstream: Server) -> dict[str, str]:
    return {"RUNNINGHUB_API_KEY": API_KEY, "RUNNINGHUB_BASE_URL": upstream.url}


@contextmanager
def _running(
    arguments: Sequence[str], path: str, environment: dict[str, str], port: int | None = None
) -> Iterator[Server]:
    port = port or free_port()
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    # An empty working directory, so that a developer's own .env is not read.
    with tempfile.TemporaryDirectory() as directory, Path(directory, "log").open("w+b") as log:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, *arguments, "--port", str(port)],
            cwd=directory,
            env=kept | environment,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_up(process, port, path, Path(log.name))
            start_s = time.perf_counter() - started
            yield Server(f"http://127.0.0.1:{port}", psutil.Process(process.pid), start_s)
        finally:
            _stop(process)


def _wait_until_up(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers(port, path):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text()}")
        time.sleep(START_POLL_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
