"""Lookups that wait at the same time share one query: a read then costs a share of one thread switch."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

Value = TypeVar("Value")
Found = Mapping[str, Value]


class BatchedReads(Generic[Value]):
    """`read` gets all keys that arrived while the query before was running, and returns those it found."""

    def __init__(self, read: Callable[[set[str]], Awaitable[Found[Value]]]) -> None:
        self._read = read
        self._one_at_a_time = asyncio.Lock()
        self._keys: set[str] = set()
        self._next: asyncio.Task[Found[Value]] | None = None

    async def get(self, key: str) -> Value | None:
        """The value as it was after the call began; None: there is none. Raises what `read` raises."""
        self._keys.add(key)
        if self._next is None:
            self._next = asyncio.create_task(self._read_next())
        # Shielded: a caller that is cancelled does not end the query for the others.
        return (await asyncio.shield(self._next)).get(key)

    async def _read_next(self) -> Found[Value]:
        await asyncio.sleep(0)  # let the requests join that arrive in this round of the event loop
        async with self._one_at_a_time:
            keys, self._keys, self._next = self._keys, set(), None
            return await self._read(keys)
