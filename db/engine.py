"""What every database engine does for `database.py`, whatever is behind it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, Self, TypeVar

from metrics import Metrics

T = TypeVar("T")
Parameters = Mapping[str, Any]


class DatabaseRefused(Exception):
    """The database cannot be used (damaged, newer than this service, no permission); one line for people."""


class Row(Protocol):
    """One row of a result: its values by column name or place, and in order."""

    def keys(self) -> Iterable[str]: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """What the statements of one transaction are executed on."""

    def execute_fetchall(self, sql: str, parameters: Any = None, /) -> Awaitable[Iterable[Any]]: ...


class Engine(Protocol):
    """An open database. Enter it to open it and close it after; raises DatabaseRefused on entry.

    While it is open, whatever stops a call is raised as DatabaseUnavailable. SQL has named parameters
    (`:name`).
    """

    metrics: Metrics
    """What this process counts; an engine adds how long its transactions took."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...

    @property
    def has_one_writer(self) -> bool:
        """Whether transactions follow one another, so that none changes what another has read."""
        ...

    def clock(self) -> int:
        """The time all workers share, in milliseconds since 1970."""
        ...

    @property
    def fault(self) -> str | None:
        """Why the database cannot be relied on; None: it can. Meanwhile nothing may be paid for."""
        ...

    def require_no_fault(self) -> None:
        """Raise DatabaseUnavailable where `fault` says something."""
        ...

    async def read(self, sql: str, parameters: Parameters | None = None) -> list[Any]:
        """Rows that are found by an index: what a request waits for."""
        ...

    async def scan(self, sql: str, parameters: Parameters | None = None) -> list[Any]:
        """Rows of a list, which may take longer; it delays no `read`."""
        ...

    async def count(self, sql: str, parameters: Parameters | None = None) -> list[Any]:
        """Counts, and whether the database responds: neither waits behind a list."""
        ...

    async def look_up(self, sql: str, parameters: Parameters) -> Row | None:
        """One row of a small table by an index: what every request needs before anything else."""
        ...

    async def write(self, statements: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `statements` inside one transaction; returns when it is on disk.

        Nothing may be awaited inside but the connection, and they may be run again. Raises
        DatabaseUnavailable, or what `statements` raised; then nothing was written. A caller that is
        cancelled does not stop the write.
        """
        ...

    async def lock(self, connection: Connection, name: str) -> None:
        """Until the transaction ends, let no other one hold this lock."""
        ...

    async def wait_for_commit(self, timeout_s: float) -> None:
        """Return after the next commit that this process hears of, or after `timeout_s`; for one waiter."""
        ...
