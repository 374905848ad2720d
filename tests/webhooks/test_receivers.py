"""Which addresses are private: as they are written, and by what their names resolve to."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from files.address_check import AddressInfo
from tests.conftest import until
from webhooks.names import ReceiverNames
from webhooks.receivers import is_known_private

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "10.0.0.1",
            "192.168.1.1",
            "169.254.169.254",
        ),
        *("127.1", "0x7f000001", "2130706433", "[::1]", "[fe80::1]", "[::ffff:10.0.0.1]"),
    ],
)
def test_private_addresses_are_known_in_every_spelling(host: str) -> None:
    assert is_known_private(f"https://{host}:8443/hook")


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "[2606:4700::1111]", "10.example.com"])
def test_names_and_public_addresses_are_not_known_to_be_private(host: str) -> None:
    assert not is_known_private(f"https://{host}/hook")


async def test_no_submit_passes_a_name_that_has_a_private_address_among_others() -> None:
    assert await is_private(["8.8.8.8", "192.168.1.7"])
    assert await is_private(["fe80::1%eth0"])
    assert not await is_private(["8.8.8.8"])


async def test_a_name_that_cannot_be_found_now_is_left_to_the_attempts() -> None:
    assert not await is_private([])


async def test_a_submit_does_not_wait_for_a_name_server_that_hangs() -> None:
    responds = threading.Event()

    def hangs(*_: Any, **__: Any) -> list[AddressInfo]:
        responds.wait()
        return infos(["127.0.0.1"])

    names = ReceiverNames(1, lookup=hangs, check_timeout_s=0.01)
    try:
        assert not await names.is_private("slow.example.com")
    finally:
        responds.set()
        await names.close()


async def test_names_that_hang_leave_the_event_loops_own_threads_to_runninghubs_name() -> None:
    responds, used = threading.Event(), set[str]()

    def hangs(*_: Any, **__: Any) -> list[AddressInfo]:
        used.add(threading.current_thread().name)
        responds.wait()
        return infos(["8.8.8.8"])

    names = ReceiverNames(40, lookup=hangs)
    waiting = [asyncio.create_task(names.resolve(f"r{n}.example.com", 443)) for n in range(40)]
    await until(lambda: len(used) == 40)
    loops_own = await asyncio.get_running_loop().run_in_executor(None, threading.current_thread)
    responds.set()
    found = await asyncio.gather(*waiting)
    await names.close()

    assert loops_own.name not in used
    assert [(result["hostname"], result["host"], result["port"]) for result in found[0]] == [
        ("r0.example.com", "8.8.8.8", 443)
    ]


def infos(addresses: list[str]) -> list[AddressInfo]:
    """What getaddrinfo returns for a name with these addresses."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]


async def is_private(addresses: list[str]) -> bool:
    def lookup(*_: Any, **__: Any) -> list[AddressInfo]:
        if not addresses:
            raise socket.gaierror
        return infos(addresses)

    names = ReceiverNames(1, lookup=lookup)
    try:
        return await names.is_private("hooks.example.com")
    finally:
        await names.close()
