"""The service on a port, with a line for everything that kept its event loop busy for too long.

python -m tests.attack.measured PORT FILE
The time is the thread's own on the processor, so that a busy machine does not count. Neither does a full
garbage collection: with hundreds of connections it takes about 70 ms, now and then, whatever is sent.
"""

import asyncio.events
import gc
import sys
import time
from pathlib import Path

import uvicorn

LONGEST_S = 0.05


def record_blocks(file: Path) -> None:
    """Write the name of each callback that takes longer than `LONGEST_S` to `file`."""
    run = asyncio.events.Handle._run
    collecting_s = 0.0

    def measure_collection(phase: str, info: dict[str, int]) -> None:
        nonlocal collecting_s
        collecting_s += time.thread_time() * (1 if phase == "stop" else -1)

    def measured_run(self: asyncio.events.Handle) -> None:
        began = time.thread_time() - collecting_s
        run(self)
        took = time.thread_time() - collecting_s - began
        if took > LONGEST_S:
            with file.open("a") as lines:
                lines.write(f"{took * 1000:.0f} ms: {self!r}\n")

    gc.callbacks.append(measure_collection)
    asyncio.events.Handle._run = measured_run  # type: ignore[method-assign]


if __name__ == "__main__":
    record_blocks(Path(sys.argv[2]))
    uvicorn.run("main:app", port=int(sys.argv[1]), loop="asyncio", server_header=False)
