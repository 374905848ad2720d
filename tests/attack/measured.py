"""The service on a port, with a line for everything that kept its event loop busy for too long.

python -m tests.attack.measured PORT FILE
The time is the thread's own on the processor, so that a busy machine does not count.
"""

import asyncio.events
import sys
import time
from pathlib import Path

import uvicorn

LONGEST_S = 0.05


def record_blocks(file: Path) -> None:
    """Write the name of each callback that takes longer than `LONGEST_S` to `file`."""
    run = asyncio.events.Handle._run

    def measured_run(self: asyncio.events.Handle) -> None:
        began = time.thread_time()
        run(self)
        took = time.thread_time() - began
        if took > LONGEST_S:
            with file.open("a") as lines:
                lines.write(f"{took * 1000:.0f} ms: {self!r}\n")

    asyncio.events.Handle._run = measured_run  # type: ignore[method-assign]


if __name__ == "__main__":
    record_blocks(Path(sys.argv[2]))
    uvicorn.run("main:app", port=int(sys.argv[1]), loop="asyncio", server_header=False)
