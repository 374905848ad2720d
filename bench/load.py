"""A lean HTTP/1.1 load generator; as a process (`python -m bench.load`) it reads a Load from stdin.

Raw keep-alive connections without pipelining: it has to cost less than what it measures.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import cycle
from statistics import quantiles
from typing import Any, Self
from urllib.parse import urlsplit

import uvloop

LATEST_END_S = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: `requests` in turn, over `connections`, until `seconds` or `count` is reached.

    With `rate` (requests a second over all connections) requests have due times, and latency counts from
    those; without, each connection sends its next request as soon as it has its response.
    """

    url: str
    requests: list[tuple[str, str, str | None]]
    """`(method, path, JSON body or None)`."""
    connections: int = 1
    seconds: float | None = None
    count: int | None = None
    rate: float | None = None
    token: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a Load."""

    responses: int
    errors: int
    seconds: float
    statuses: dict[str, int]
    percentiles_ms: list[float] = field(repr=False)
    """The latency below which 1 to 99 per cent of the requests were."""

    @property
    def per_second(self) -> float:
        """Successful responses a second."""
        return (self.responses - self.errors) / self.seconds

    def percentile_ms(self, percent: int) -> float:
        return self.percentiles_ms[percent - 1]


class LoadProcess:
    """A load generator at work."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    def start(cls, load: Load) -> Self:
        command = [sys.executable, "-m", "bench.load"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        assert process.stdin  # noqa: S101 - it is a pipe
        process.stdin.write(json.dumps(asdict(load)).encode())
        process.stdin.close()
        process.stdin = None
        return cls(process)

    def outcome(self) -> Outcome:
        """Wait for the end."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError("the load generator failed; its output is above")
        return Outcome(**json.loads(output))


def run_load(load: Load) -> Outcome:
    return LoadProcess.start(load).outcome()


class _Run:
    """The state that all connections of one Load share."""

    def __init__(self, load: Load) -> None:
        host = urlsplit(load.url).netloc
        self.load = load
        self.requests = cycle([_encode(host, load.token, *request) for request in load.requests])
        self.left = load.count
        self.latencies_ms: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.open = load.connections
        self.over = asyncio.Event()
        self.started = time.perf_counter()
        self._sent = 0

    def next_due(self) -> float | None:
        """When the next request is due; None when there is none."""
        due = time.perf_counter()
        if self.load.rate:
            due = self.started + self._sent / self.load.rate
        if self.left == 0 or (self.load.seconds and due > self.started + self.load.seconds):
            return None
        self._sent += 1
        if self.left is not None:
            self.left -= 1
        return due

    def note(self, status: str, due: float) -> None:
        self.statuses[status] += 1
        self.latencies_ms.append((time.perf_counter() - due) * 1000)

    def close_one(self) -> None:
        self.open -= 1
        if not self.open:
            self.over.set()

    def outcome(self) -> Outcome:
        errors = sum(count for status, count in self.statuses.items() if not status.startswith("2"))
        return Outcome(
            responses=self.statuses.total(),
            errors=errors,
            seconds=time.perf_counter() - self.started,
            statuses=dict(self.statuses),
            percentiles_ms=quantiles(self.latencies_ms, n=100),
        )


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._due: float | None = None
        self._received = bytearray()
        self._expected = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._plan()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._expected:
            self._expected = _response_length(self._received)
        if self._due is None or not self._expected or len(self._received) < self._expected:
            return
        self._run.note(self._received[9:12].decode(), self._due)
        self._received.clear()
        self._due, self._expected = None, 0
        self._plan()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due is not None:
            self._run.note("lost", self._due)
        self._run.close_one()

    def _plan(self) -> None:
        due = self._run.next_due()
        if due is None:
            self._transport.close()
        elif (wait_s := due - time.perf_counter()) > 0:
            asyncio.get_running_loop().call_later(wait_s, self._send, due)
        else:
            self._send(due)

    def _send(self, due: float) -> None:
        self._due = due
        self._transport.write(next(self._run.requests))


def _encode(host: str, token: str, method: str, path: str, body: str | None) -> bytes:
    content = (body or "").encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return f"{head}\r\n".encode() + content


def _response_length(received: bytearray) -> int:
    """The length of the whole response, 0 while its head is not complete. All have a Content-Length."""
    head_length = received.find(b"\r\n\r\n") + 4
    if head_length < len(b"\r\n\r\n"):
        return 0
    _, _, after = bytes(received[:head_length]).lower().partition(b"content-length:")
    return head_length + int(after.partition(b"\r\n")[0])


async def _run_here(load: Load) -> Outcome:
    run = _Run(load)
    host, _, port = urlsplit(load.url).netloc.partition(":")
    loop = asyncio.get_running_loop()
    connections = [
        loop.create_connection(lambda: _Connection(run), host, int(port)) for _ in range(load.connections)
    ]
    await asyncio.gather(*connections)
    async with asyncio.timeout(LATEST_END_S):
        await run.over.wait()
    return run.outcome()


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_run_here(Load(**json.load(sys.stdin)))))))
