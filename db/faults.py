"""What can go wrong with a SQLite file: the driver's exceptions as one error, damage, and lost files."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from errors import DatabaseUnavailable
from logs import LogLimit

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5
LOG_INTERVAL_S = 60.0
DAMAGED = "its file is damaged"
# SQLite's primary result codes, in words for people: https://www.sqlite.org/rescode.html
REASONS = {
    sqlite3.SQLITE_BUSY: "it is locked by another program",
    sqlite3.SQLITE_LOCKED: "it is locked by another program",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_READONLY: "it cannot be written to",
    sqlite3.SQLITE_PERM: "it cannot be written to",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
    sqlite3.SQLITE_IOERR: "its disk reports an error",
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
}
OTHER_REASON = "the log has the reason"
# The file itself, and the log that holds its latest transactions.
SUFFIXES = {"": "its file was deleted or replaced", "-wal": "its -wal file was deleted or replaced"}

Identity = tuple[int, int]  # device and inode


def unavailable(reason: str) -> DatabaseUnavailable:
    message = f"The database cannot be used now: {reason}. Try again in a few seconds."
    return DatabaseUnavailable(message, retry_after=RETRY_AFTER_S)


def reason_of(exc: Exception) -> str:
    """Why a call failed, without the driver's text."""
    return REASONS.get(_primary_code(exc), OTHER_REASON)


def is_busy(exc: Exception) -> bool:
    """Whether somebody else's lock was in the way."""
    return _primary_code(exc) == sqlite3.SQLITE_BUSY


def _primary_code(exc: Exception) -> int:
    code: int = getattr(exc, "sqlite_errorcode", 0)  # the driver's own errors have none
    return code & 0xFF


def _identity(path: str) -> Identity | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class FileFaults:
    """Whether one open database file can be relied on, and what the driver reported about it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._damage: str | None = None
        self._identities: dict[str, Identity | None] = {}
        self._log_limit = LogLimit(LOG_INTERVAL_S)

    def remember_files(self) -> None:
        """Note which files are open. SQLite keeps both for as long as a connection is open."""
        self._identities = {suffix: _identity(self._path + suffix) for suffix in SUFFIXES}

    @property
    def fault(self) -> str | None:
        """Why the file cannot be relied on; None: it can.

        Damage is remembered until the service starts again, since only some statements come across it.
        """
        return self._damage or self._lost_file()

    def _lost_file(self) -> str | None:
        for suffix, identity in self._identities.items():
            if _identity(self._path + suffix) != identity:
                return SUFFIXES[suffix]
        return None

    def require_files(self) -> None:
        """Raise when what is written now would be gone after the next start.

        SQLite would go on without an error: a deleted file lives on until the last process closes it.
        """
        self._raise(self._lost_file())

    def require_none(self) -> None:
        """Raise where `fault` says something."""
        self._raise(self.fault)

    def _raise(self, fault: str | None) -> None:
        if fault is not None:
            self._log(fault, fault)
            raise unavailable(fault)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Every exception of the driver becomes DatabaseUnavailable, a new one for each caller."""
        try:
            yield
        except sqlite3.Error as exc:
            reason = reason_of(exc)
            if reason == DAMAGED:
                self._damage = reason
            self._log(getattr(exc, "sqlite_errorname", type(exc).__name__), str(exc))
            raise unavailable(reason) from exc

    def _log(self, subject: str, text: str) -> None:
        if self._log_limit.allows(subject):
            log.error("the database cannot be used: %s", text, extra={"database": self._path})
