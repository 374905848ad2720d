"""Tells at once that the process is to stop: uvicorn tells the lifespan only when all streams are over."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_stop_signal(callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback` in the running loop at SIGINT or SIGTERM, before the server's own handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    servers_own = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)
        own = servers_own[signal.Signals(number)]
        if callable(own):
            own(number, frame)

    for number, own in servers_own.items():
        if callable(own):
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, own in servers_own.items():
            signal.signal(number, own)
