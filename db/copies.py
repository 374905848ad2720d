"""What `db.backup`, `db.restore` and `db.move` share: a consistent copy, its check, the command line."""

import argparse
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from config import load_settings
from db.engine import DatabaseRefused
from db.migrations import MIGRATIONS
from db.sqlite import BUSY_TIMEOUT_S

FAILED = 1


class CommandRefused(Exception):
    """Nothing was done; one line for people."""


def key_path(database: Path) -> Path:
    """Where the secret key of a database is kept; a backup's lies beside it in the same way."""
    return Path(f"{database}.secret")


def draft_folder(database: Path, prefix: str) -> tempfile.TemporaryDirectory[str]:
    """On the same disk as the database: there is room for a copy, and it can be renamed into its place."""
    return tempfile.TemporaryDirectory(prefix=prefix, dir=database.absolute().parent)


def copy_database(source: Path, target: Path) -> None:
    """Copy all committed rows, those in the `-wal` file included, whatever is written to `source` meanwhile.

    `target` is new, only for its owner to read, and one file: nothing of it lies in a `-wal` file.
    """
    target.touch(mode=0o600, exist_ok=False)
    with closing(_open(source)) as original, closing(_open(target)) as copy:
        original.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


def check_copy(path: Path, name: str) -> int:
    """How many tasks it holds. Raises CommandRefused where it is damaged or no database of this service."""
    with closing(_open(path)) as connection:
        try:
            ((version,),) = connection.execute("PRAGMA user_version")
            ((result,),) = connection.execute("PRAGMA integrity_check(1)")
            if result != "ok":
                raise CommandRefused(f"{name} is damaged: {result.splitlines()[-1]}")
            ((count,),) = connection.execute("SELECT count(*) FROM tasks")
        except sqlite3.OperationalError as exc:
            raise CommandRefused(f"{name} is no database of this service ({exc})") from exc
    if version > len(MIGRATIONS):
        raise CommandRefused(
            f"{name} was written by a newer version of this service"
            f" (schema {version}, known here up to {len(MIGRATIONS)})"
        )
    return int(count)


def copy_key(source: Path, target: Path) -> None:
    target.touch(mode=0o600, exist_ok=False)
    shutil.copyfile(source, target)
    sync(target)


def sync(path: Path) -> None:
    """Have a file, or a folder's list of names, on disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def run_command(name: str, description: str, command: Callable[[Path, Path], str]) -> int:
    """Call `command` with the FILE of the command line and the database; prints one line in any case."""
    parser = argparse.ArgumentParser(prog=f"python -m db.{name}", description=description)
    parser.add_argument("file", metavar="FILE", type=Path, help="the backup; its secret key is FILE.secret")
    parser.add_argument("--database", metavar="PATH", type=Path, help="instead of the one in DATABASE_URL")
    arguments = parser.parse_args()
    return run(lambda: command(arguments.file, arguments.database or _configured_database()), arguments.file)


def run(command: Callable[[], str], file: Path) -> int:
    """Print what `command` did, or in one line why it did nothing; returns the process's exit code."""
    try:
        print(command())
    except (CommandRefused, DatabaseRefused, ValueError) as exc:
        print(exc, file=sys.stderr)
    except OSError as exc:
        print(f"{exc.filename or file}: {exc.strerror}", file=sys.stderr)
    except sqlite3.Error as exc:
        print(f"the database cannot be copied: {exc}", file=sys.stderr)
    else:
        return 0
    return FAILED


def _configured_database() -> Path:
    settings = load_settings()
    if settings.uses_postgresql:
        raise CommandRefused("DATABASE_URL is a PostgreSQL database: use pg_dump and pg_restore")
    return Path(settings.database_path)


def _open(path: Path) -> sqlite3.Connection:
    """An existing file; raises sqlite3.OperationalError where there is none."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
