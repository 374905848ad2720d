"""Starts Python programs by forking a process that has imported their modules: in a fraction of the CPU time.

Apart from that they run as `python -m MODULE ARGUMENTS` does: real processes with an environment, a folder
and a session of their own.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PRELOADED = (
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
# A program runs its own: what is in these depends on arguments and the environment.
IMPORTED_AGAIN = ("uvicorn.__main__", "simulator.__main__", "main")
POLL_S = 0.005


class ForkServer:
    """The preloaded process, from the view of the tests."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        # Not in the project's folder, where a developer's own .env would be read.
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", str(theirs.fileno())],
            cwd=self._folder.name,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self._lines = self._control.makefile("rw")
        self._lock = threading.Lock()

    def start(
        self, program: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> "ForkedProcess":
        """Run a module; `program` is its name and its arguments, and all that it prints goes to `log`."""
        request = {"program": program, "env": dict(env), "cwd": str(cwd), "log": str(log)}
        return ForkedProcess(program, self.call(request), self)

    def call(self, request: Mapping[str, Any]) -> Any:
        with self._lock:
            self._lines.write(json.dumps(request) + "\n")
            self._lines.flush()
            return json.loads(self._lines.readline())

    def close(self) -> None:
        self._lines.close()
        self._control.close()
        self._process.wait()
        self._folder.cleanup()


@dataclass
class ForkedProcess:
    """What the tests use of a `subprocess.Popen`."""

    args: Sequence[str]
    pid: int
    server: ForkServer
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self.server.call({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (returncode := self.poll()) is None:
            if timeout is not None and deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(list(self.args), timeout)
            time.sleep(POLL_S)
        return returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@functools.cache
def fork_server() -> ForkServer:
    """One for all tests of this process."""
    server = ForkServer()
    atexit.register(server.close)
    return server


def serve(control: socket.socket) -> list[str]:
    """Fork for each program asked for; returns only in such a process, with its arguments."""
    lines = control.makefile("rw")
    for line in lines:
        request = json.loads(line)
        if "poll" in request:
            answer = _returncode(request["poll"])
        elif (answer := os.fork()) == 0:
            control.close()
            lines.close()
            _become(request)
            return list(request["program"])
        lines.write(json.dumps(answer) + "\n")
        lines.flush()
    sys.exit()


def _returncode(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _become(request: Mapping[str, Any]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    os.close(log)


if __name__ == "__main__":
    for name in (*PRELOADED, *IMPORTED_AGAIN):
        importlib.import_module(name)
    for name in IMPORTED_AGAIN:
        del sys.modules[name]
    gc.collect()
    gc.freeze()
    module, *arguments = serve(socket.socket(fileno=int(sys.argv[1])))
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
