"""The service as a process that is attacked, and what no attack may do to it."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.calls import RawAnswer, check_answer
from tests.http_client import http_client
from tests.processes import API_KEY, ROOT, Running, free_port, start_program

MOST_MEMORY_MB = 250
SETTINGS = {"POLL_INTERVAL_S": "0.1", "OUTPUTS_URL": "none"}
# The server library's own answers, given before the service sees a request (docs/security.md).
REFUSED_BY_SERVER = RawAnswer(400, "text/plain; charset=utf-8", b"Invalid HTTP request received.")
# A code of RunningHub in an answer is not a fault of ours; neither is its outage.
ALLOWED_5XX = {502, 503, 504}


@dataclass(frozen=True, slots=True)
class Target:
    """A running service; `blocks` has a line for each time its event loop was blocked."""

    service: Running
    blocks: Path

    @property
    def url(self) -> str:
        return self.service.url

    @property
    def peak_memory_mb(self) -> float:
        status = Path(f"/proc/{self.service.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def reset(self) -> None:
        """Forget what an earlier attack, or the start, did."""
        self.blocks.write_text("")
        Path(f"/proc/{self.service.process.pid}/clear_refs").write_text("5")

    def check(self) -> None:
        """Raise AssertionError where an attack has had an effect."""
        health = http_client.get(f"{self.url}/health", timeout=20)
        assert (health.status_code, health.json()["status"]) == (200, "ok"), health.text
        assert self.blocks.read_text() == ""
        assert self.peak_memory_mb < MOST_MEMORY_MB
        log = self.service.log.read_text()
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]


@contextmanager
def start_target(
    simulator_url: str, directory: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[Target]:
    """The service on a database in `directory`, in front of a simulator."""
    port, blocks = free_port(), directory / "blocks"
    settings = {
        "DATABASE_URL": f"sqlite:///{directory / 'tasks.db'}",
        "RUNNINGHUB_API_KEY": API_KEY,
        "RUNNINGHUB_BASE_URL": simulator_url,
        "PYTHONPATH": str(ROOT),
        **SETTINGS,
        **(env or {}),
    }
    command = [sys.executable, "-m", "tests.attack.measured", str(port), str(blocks)]
    with start_program(command, port, "/health", env=settings, cwd=directory) as service:
        target = Target(service, blocks)
        target.reset()
        yield target


def check_raw_answer(answer: RawAnswer) -> None:
    """A success, a problem of the table, or the server library's refusal; never an internal error."""
    if answer in {REFUSED_BY_SERVER, RawAnswer()}:  # the latter: it waits for more
        return
    check_answer(answer.status, answer.content_type, answer.body)
    assert 200 <= answer.status < 500 or answer.status in ALLOWED_5XX
    if answer.status >= 400:
        assert json.loads(answer.body)["code"] != "internal_error"
