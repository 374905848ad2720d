"""Outputs: a kept file against nginx, many readers of it, and what copying costs in memory and latency."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil

from bench import plots, servers
from bench.calls import request_json, submit_as_saved, task_reads
from bench.load import Load, run_load
from bench.report import Findings, Goal, Rounds, Scale, Table
from bench.servers import Server
from bench.uploads import PeakMemory
from simulator.apps import VIDEO
from tests.processes import answers, free_port

MEGABYTE = 2**20
FILE_MB = 200
LARGE_MB, LARGE_MB_QUICK = 2048, 200
READERS = 50
COPIES = 100
READS_AT_ONCE = 64
PATIENCE_S = 300
PIECE = MEGABYTE


def measure(scale: Scale) -> Findings:
    rounds = Rounds()
    large_mb = LARGE_MB_QUICK if scale.is_quick else LARGE_MB
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        folder = Path(directory, "outputs")
        upstream = stack.enter_context(servers.simulator(slots=0, queue_time=0, run_time=0))
        service = stack.enter_context(
            servers.service(upstream, Path(directory, "tasks.db"), outputs_url=f"file://{folder}")
        )
        link = _kept(upstream, service, FILE_MB)["url"]
        (file,) = (path for path in folder.rglob("*") if path.is_file())
        nginx = stack.enter_context(_nginx(file.parent))
        paths = {"service": (service, link), "nginx": (nginx, f"/{file.name}")}
        rounds.measure(2 * scale.rounds, {name: partial(_fetch, *to) for name, to in paths.items()})
        reading = PeakMemory()
        with reading.measure(service), ThreadPoolExecutor(READERS) as threads:
            list(threads.map(lambda n: _fetch(service, link, first=n * MEGABYTE), range(READERS)))
        copying = PeakMemory()
        with copying.measure(service):
            _kept(upstream, service, large_mb)
        _measure_reads_beside_copies(rounds, scale, upstream, service, folder)
    return _findings(rounds, reading, copying, large_mb)


def _measure_reads_beside_copies(
    rounds: Rounds, scale: Scale, upstream: Server, service: Server, folder: Path
) -> None:
    """The folder is away while the tasks run, so that all copies begin when it is back."""
    request_json(upstream, ("PATCH", "/simulator/switches", '{"files_megabytes": 1}'))
    for _ in range(scale.rounds):
        away = folder.rename(folder.with_name("away"))
        ids = [_submit(service) for _ in range(COPIES)]
        _until(lambda ids=ids: all(_task(service, task_id)["outputs"] for task_id in ids))
        rounds.note("idle", _p99_ms(service, ids, scale.seconds))
        away.rename(folder)
        _until(lambda ids=ids: any(_state(service, task_id) == "KEPT" for task_id in ids))
        rounds.note("copying", _p99_ms(service, ids, scale.seconds))
        _until(lambda ids=ids: all(_state(service, task_id) == "KEPT" for task_id in ids))


def _p99_ms(service: Server, ids: list[str], seconds: float) -> float:
    load = Load(service.url, task_reads(ids), connections=READS_AT_ONCE, seconds=seconds)
    return run_load(load).percentile_ms(99)


def _kept(upstream: Server, service: Server, megabytes: int) -> dict[str, Any]:
    """A result of that size, once it is kept."""
    request_json(upstream, ("PATCH", "/simulator/switches", f'{{"files_megabytes": {megabytes}}}'))
    task_id = _submit(service)
    _until(lambda: _state(service, task_id) == "KEPT")
    output: dict[str, Any] = _task(service, task_id)["outputs"][0]
    return output


def _submit(service: Server) -> str:
    # A clip costs the simulator nothing to make: it shares the processor with what is measured.
    _, path, body = submit_as_saved(VIDEO)
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(service.url + path, (body or "").encode(), headers)) as response:  # noqa: S310
        return str(json.load(response)["task_id"])


def _task(service: Server, task_id: str) -> dict[str, Any]:
    with urlopen(f"{service.url}/tasks/{task_id}") as response:  # noqa: S310
        task: dict[str, Any] = json.load(response)
        return task


def _state(service: Server, task_id: str) -> str | None:
    outputs = _task(service, task_id)["outputs"]
    return outputs[0]["state"] if outputs else None


def _until(is_so: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError("the copies did not end in time")
        time.sleep(0.05)


def _fetch(server: Server, path: str, first: int | None = None) -> float:
    """Read a file over a connection of its own, from `first` on where that is given; the seconds it took."""
    wanted = "" if first is None else f"Range: bytes={first}-\r\n"
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{wanted}Connection: close\r\n\r\n"
    piece, received = memoryview(bytearray(PIECE)), 0
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode())
        while size := connection.recv_into(piece):
            received += size
    if received < FILE_MB * MEGABYTE - (first or 0):
        raise RuntimeError(f"{server.url}{path} sent {received} bytes")
    return time.perf_counter() - started


@contextmanager
def _nginx(root: Path) -> Iterator[Server]:
    """nginx with one worker, as it comes, serving a folder."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        raise RuntimeError("this section compares with nginx, which is not installed")
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        settings = Path(directory, "nginx.conf")
        settings.write_text(
            f"daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/log; user root;"
            " events {} http { access_log off; sendfile on;"
            f" server {{ listen 127.0.0.1:{port}; root {root}; location = /up {{ return 200; }} }} }}"
        )
        process = subprocess.Popen([program, "-c", str(settings)])  # noqa: S603
        try:
            while not answers(port, "/up"):
                time.sleep(0.01)
            yield Server(f"http://127.0.0.1:{port}", psutil.Process(process.pid), 0)
        finally:
            process.terminate()
            process.wait()


def _findings(rounds: Rounds, reading: PeakMemory, copying: PeakMemory, large_mb: int) -> Findings:
    speeds = {name: FILE_MB / rounds.median(name) for name in ("service", "nginx")}
    latencies = {name: rounds.median(name) for name in ("idle", "copying")}
    return Findings(
        title="Outputs",
        method=f"A kept file of {FILE_MB} MB read from the service and from nginx (one worker, sendfile);"
        f" {READERS} ranges of it at once; one file of {large_mb} MB copied; and `GET /tasks/{{id}}`,"
        f" {READS_AT_ONCE} at once, while {COPIES} results of 1 MB are copied. Memory: the highest resident"
        " size less the size before.",
        goals=[
            Goal.at_least("a kept file against nginx", rounds.ratio("nginx", to="service"), 0.6),
            Goal.at_most(f"memory for {READERS} ranges at once", reading.rise_mb, 32, "MB"),
            Goal.at_most(f"memory for a copy of {large_mb} MB", copying.rise_mb, 32, "MB"),
            Goal.at_most("reads' p99 beside copies", rounds.ratio("copying", to="idle"), 2, "times"),
        ],
        tables=[
            Table(
                ["MB a second", *speeds],
                [[f"{FILE_MB} MB", *(f"{speed:,.0f}" for speed in speeds.values())]],
            ),
            Table(
                ["reads' p99", *latencies],
                [[f"{READS_AT_ONCE} at once", *(f"{latency:.1f} ms" for latency in latencies.values())]],
            ),
            Table(
                ["memory", "service"],
                [
                    [f"{READERS} ranges at once", f"+{reading.rise_mb:.0f} MB"],
                    [f"a copy of {large_mb} MB", f"+{copying.rise_mb:.0f} MB"],
                ],
            ),
        ],
        plot=plots.bars("outputs", f"A kept file of {FILE_MB} MB", "MB a second", {"one reader": speeds}),
    )
