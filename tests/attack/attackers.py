"""Clients that hold a service up: slow uploads, polls that hang, and hostile senders of webhooks.

A process of its own, so that their work is not counted as the service's:
python -m tests.attack.attackers http://127.0.0.1:8000 --uploads 256 --polls 300 --webhooks 30
"""

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

UPLOAD_HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
UPLOAD_PIECE = bytes(1000)
UPLOAD_PAUSE_S = 0.5
# A list of empty lists is what costs a parser most for its size.
WEBHOOK_BODY = b"[" + b"[]," * 1_300_000 + b"[]]"
WEBHOOK_PAUSE_S = 0.25
RETRY_PAUSE_S = 1.0

Attack = Callable[[str, int, int], Awaitable[None]]


async def slow_upload(host: str, port: int, number: int) -> None:
    """An upload of 25 MB at 2 kB a second; a refused one is tried again."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_head("/upload", 25_000_000, "multipart/form-data; boundary=x") + UPLOAD_HEAD)
        answered = asyncio.ensure_future(_quietly(reader.read(1)))
        while not answered.done():
            writer.write(UPLOAD_PIECE)
            await writer.drain()
            await asyncio.wait([answered], timeout=UPLOAD_PAUSE_S)
    finally:
        writer.close()


async def hanging_poll(host: str, port: int, number: int) -> None:
    """A poll of a task that RunningHub, whose polls hang, may know; each of another one."""
    body = json.dumps({"taskId": str(7_000_000_000_000_000_000 + number)}).encode()
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_head("/task/query_task_status", len(body), "application/json") + body)
        await reader.read()
    finally:
        writer.close()


async def hostile_webhook(host: str, port: int, number: int) -> None:
    """4 MB of nested lists with a wrong signature, as much of it as the service takes."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        path = f"/webhooks/runninghub/{number}/{'0' * 64}"
        writer.write(_head(path, len(WEBHOOK_BODY), "application/json") + WEBHOOK_BODY)
        answered = asyncio.ensure_future(_quietly(reader.read(1)))
        draining = asyncio.ensure_future(_quietly(writer.drain()))
        await asyncio.wait([answered, draining], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(WEBHOOK_PAUSE_S)
    finally:
        writer.transport.abort()
        await asyncio.wait([answered, draining])


async def _quietly(reading: Awaitable[object]) -> None:
    with suppress(OSError):
        await reading


def _head(path: str, length: int, content_type: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()


async def attack_for_ever(attack: Attack, host: str, port: int, number: int) -> None:
    while True:
        with suppress(OSError):
            await attack(host, port, number)
        await asyncio.sleep(RETRY_PAUSE_S if attack is not hostile_webhook else 0)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--uploads", type=int, default=0)
    parser.add_argument("--polls", type=int, default=0)
    parser.add_argument("--webhooks", type=int, default=0)
    options = parser.parse_args()
    address = urlsplit(options.url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    counts = {slow_upload: options.uploads, hanging_poll: options.polls, hostile_webhook: options.webhooks}
    await asyncio.gather(
        *(
            attack_for_ever(attack, host, port, number)
            for attack, count in counts.items()
            for number in range(count)
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
