"""Uploads: a 30 MB file through the service against straight to RunningHub, fast, slow, and eight at once."""

import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench import plots, servers
from bench.calls import request_json
from bench.report import Findings, Goal, Rounds, Scale, Table
from bench.servers import API_KEY, Server

MEGABYTE = 2**20
FILE_MB = 30
SLOW_BYTES_PER_S = 15 * MEGABYTE
AT_ONCE = 8
PIECE = 64 * 1024
BOUNDARY = "bench-boundary"
SAMPLE_S = 0.005
TIMEOUT_S = 120


class PeakMemory:
    """How far a server's resident memory rises above what it was."""

    rise_mb = 0.0

    @contextmanager
    def measure(self, server: Server) -> Iterator[None]:
        before_mb, over = server.rss_mb, threading.Event()

        def sample() -> None:
            while not over.wait(SAMPLE_S):
                self.rise_mb = max(self.rise_mb, server.rss_mb - before_mb)

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            yield
        finally:
            over.set()
            sampler.join()


def measure(scale: Scale) -> Findings:
    body = _form(FILE_MB * MEGABYTE - PIECE)
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(servers.simulator())
        service = stack.enter_context(servers.service(upstream, Path(directory, "tasks.db")))
        plain = stack.enter_context(servers.plain(upstream, Path(directory, "plain.db")))
        paths = {
            "direct": (upstream, "/task/openapi/upload"),
            "service": (service, "/upload"),
            "plain": (plain, "/upload"),
        }
        for server, path in paths.values():
            _send(server, path, body)
        memory = {"service": PeakMemory(), "plain": PeakMemory()}
        for name, peak in memory.items():
            with peak.measure(paths[name][0]):
                _send_many(*paths[name], body)
        rounds.measure(scale.rounds, {name: partial(_send, *to, body) for name, to in paths.items()})
        rounds.measure(
            scale.rounds, {f"{name} × 8": partial(_send_many, *to, body) for name, to in paths.items()}
        )
        slow_rounds = 1 if scale.is_quick else 2
        slow_client = {
            f"{name}, slow client": partial(_send, *to, body, SLOW_BYTES_PER_S) for name, to in paths.items()
        }
        rounds.measure(slow_rounds, slow_client)
        request_json(
            upstream, ("PATCH", "/simulator/switches", f'{{"upload_bytes_per_second": {SLOW_BYTES_PER_S}}}')
        )
        slow_upstream = {f"{name}, slow upstream": partial(_send, *to, body) for name, to in paths.items()}
        rounds.measure(slow_rounds, slow_upstream)
    return _findings(rounds, memory)


def _form(size: int) -> bytes:
    """A multipart body that both RunningHub and the service take."""
    fields = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {"apiKey": API_KEY, "fileType": "input"}.items()
    )
    head = (
        f'{fields}--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="bench.zip"\r\n'
        "Content-Type: application/zip\r\n\r\n"
    )
    return head.encode() + os.urandom(size) + f"\r\n--{BOUNDARY}--\r\n".encode()


def _send(server: Server, path: str, body: bytes, bytes_per_second: int | None = None) -> float:
    """Send one file over a connection of its own; the seconds it took."""
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
        )
        if bytes_per_second:
            _send_slowly(connection, body, bytes_per_second)
        else:
            connection.sendall(body)
        response = connection.makefile("rb").read()
    if not response.startswith(b"HTTP/1.1 200") or b"fileName" not in response:
        raise RuntimeError(f"{server.url}{path} responses {response[:500]!r}")
    return time.perf_counter() - started


def _send_slowly(connection: socket.socket, body: bytes, bytes_per_second: int) -> None:
    started = time.perf_counter()
    for offset in range(0, len(body), PIECE):
        connection.sendall(body[offset : offset + PIECE])
        due_s = (offset + PIECE) / bytes_per_second
        time.sleep(max(0.0, started + due_s - time.perf_counter()))


def _send_many(server: Server, path: str, body: bytes) -> float:
    """Send `AT_ONCE` files; the seconds until the last one was responses."""
    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda _: _send(server, path, body), range(AT_ONCE)))
    return time.perf_counter() - started


def _findings(rounds: Rounds, memory: dict[str, PeakMemory]) -> Findings:
    cases = {
        "one file": "",
        "eight at once": " × 8",
        "slow client": ", slow client",
        "slow upstream": ", slow upstream",
    }
    ratios = {
        case: {name: rounds.ratio(name + suffix, to=f"direct{suffix}") for name in ("service", "plain")}
        for case, suffix in cases.items()
    }
    return Findings(
        title="Uploads",
        method=f"A file of {FILE_MB} MB through `/upload`, and the same straight to RunningHub. The slow"
        f" client and the slow upstream take {SLOW_BYTES_PER_S // MEGABYTE} MB a second. Memory: the highest"
        " resident size while the first eight went through, less the size before.",
        goals=[
            Goal.at_most("upload of 30 MB against direct", ratios["one file"]["service"], 1.6, "times"),
            Goal.at_most(
                "upload by a slow client against direct", ratios["slow client"]["service"], 1.15, "times"
            ),
            Goal.at_most(
                "upload to a slow upstream against direct", ratios["slow upstream"]["service"], 1.15, "times"
            ),
            Goal.at_most("memory for eight uploads at once", memory["service"].rise_mb, 32, "MB"),
        ],
        tables=[
            Table(
                ["time against direct", "service", "plain", "direct took"],
                [
                    [
                        case,
                        *(f"{ratio:.2f}" for ratio in ratios[case].values()),
                        f"{rounds.median(f'direct{suffix}'):.2f} s",
                    ]
                    for case, suffix in cases.items()
                ],
            ),
            Table(
                ["memory", "service", "plain"],
                [["eight at once", *(f"+{peak.rise_mb:.0f} MB" for peak in memory.values())]],
            ),
        ],
        plot=plots.bars("uploads", f"{FILE_MB} MB through /upload", "time, direct = 1", ratios),
    )
