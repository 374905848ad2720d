"""Finds the addresses of receivers' names, in threads of its own."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult

from files.address_check import AddressInfo, is_public

Lookup = Callable[..., Sequence[AddressInfo]]
# How long a submit waits for its receiver's name; a name that takes longer is checked by each attempt.
CHECK_TIMEOUT_S = 1.0


class ReceiverNames(AbstractResolver):
    """What receivers' connections resolve names with.

    The event loop's threads also resolve RunningHub's name: receivers whose name servers hang must not
    occupy them all. `at_once`: as many names as deliveries, so that one that hangs delays no other.
    """

    def __init__(
        self,
        at_once: int,
        *,
        lookup: Lookup | None = None,
        check_timeout_s: float = CHECK_TIMEOUT_S,
    ) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="receiver-name")
        self._look_up = lookup or socket.getaddrinfo
        self._check_timeout_s = check_timeout_s

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError where the name has no address."""
        return [_result(host, info) for info in await self._lookup(host, port, family)]

    async def is_private(self, host: str) -> bool:
        """Whether the name is known to have a private address now; False also where it cannot be found."""
        try:
            async with asyncio.timeout(self._check_timeout_s):
                found = await self._lookup(host, 0, socket.AF_UNSPEC)
        except (OSError, UnicodeError):  # TimeoutError is an OSError
            return False
        return any(not is_public(address[0]) for *_, address in found)

    async def _lookup(self, host: str, port: int, family: int) -> Sequence[AddressInfo]:
        lookup = partial(self._look_up, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        return await asyncio.get_running_loop().run_in_executor(self._threads, lookup)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _result(host: str, info: AddressInfo) -> ResolveResult:
    family, _, proto, _, address = info
    return ResolveResult(
        hostname=host,
        host=address[0],
        port=address[1],
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
