"""`python -m db.restore FILE` puts a backup in place of the database, while the service is stopped.

What was waiting when the backup was made (PENDING, or SUBMITTING: its paid call was in flight) may have
been sent to RunningHub since, and nothing in the backup tells. Sending it again could pay twice; dropping
it could lose it. So it becomes SUBMIT_UNKNOWN, which is never sent again automatically: it is settled
manually, or by RunningHub's webhook. Tasks that were at RunningHub are polled again as usual.
"""

import asyncio
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from db.copies import (
    CommandRefused,
    check_copy,
    copy_database,
    copy_key,
    draft_folder,
    key_path,
    run_command,
    sync,
)
from db.migrations import MIGRATIONS
from db.sqlite import Connection, SqliteFile, moved_mark
from db.worker_lock import WorkerLock
from models import rfc3339, utc_now_ms
from secret_key import SecretKey

DESCRIPTION = "Restore a backup while the service is stopped; the database it replaces is kept."
MARK_WAITING = """
    UPDATE tasks SET status = 'SUBMIT_UNKNOWN', version = version + 1, updated_at = :at,
        error = json_object('code', 'restored', 'message', :message)
    WHERE status IN ('PENDING', 'SUBMITTING')
    RETURNING id
"""
MESSAGE = (
    "This task was waiting when the backup was made that has been restored since. It may have run and been"
    " charged for in the meantime. Look it up in RunningHub's console and settle it;"
    " it is not sent again automatically."
)
# SQLite would apply them to whatever file has the database's name.
LOG_SUFFIXES = ("-wal", "-journal")


def restore(file: Path, database: Path) -> str:
    """Replace `database` by `file` and its secret key; returns what was done."""
    if not file.is_file():
        raise CommandRefused(f"there is no backup {file}")
    if not database.absolute().parent.is_dir():
        raise CommandRefused(f"there is no folder {database.absolute().parent}")
    if key_path(file).is_file():
        SecretKey.next_to(str(file))  # raises where it is damaged
    return asyncio.run(_restore_alone(file, database))


async def _restore_alone(file: Path, database: Path) -> str:
    # Held to the end: a worker that starts meanwhile waits, and opens what was restored.
    async with WorkerLock(str(database)) as lock:
        if not lock.is_only_worker:
            raise CommandRefused(f"{database} is in use: stop the service, all its workers, first")
        with draft_folder(database, "restore-") as folder:
            return await _restore_in(Path(folder), file, database)


async def _restore_in(folder: Path, file: Path, database: Path) -> str:
    draft = folder / file.name
    copy_database(file, draft)
    count = check_copy(draft, str(file))
    waiting = await _mark_waiting(draft)
    _hand_over(draft, database)
    kept = _replace(database, draft, key_path(file))
    parts = [f"restored {count} tasks of {file} to {database}"]
    if waiting:
        parts.append(f"{waiting} that were waiting are SUBMIT_UNKNOWN now: settle them")
    if not key_path(file).is_file():
        parts.append(f"the secret key stays as it was, since there is no {key_path(file)}")
    if kept:
        parts.append(f"the database before is kept as {kept}")
    return "; ".join(parts)


async def _mark_waiting(draft: Path) -> int:
    """Bring the copy up to date and mark its waiting tasks; returns how many there are."""
    parameters = {"at": rfc3339(utc_now_ms()), "message": MESSAGE}

    async def statements(connection: Connection) -> int:
        return len(list(await connection.execute_fetchall(MARK_WAITING, parameters)))

    async with SqliteFile(str(draft), MIGRATIONS) as copy:
        return await copy.write(statements)


def _replace(database: Path, draft: Path, backup_key: Path) -> Path | None:
    """Put the copy and its key in place; returns where the database before is kept.

    The database is never missing: a service that starts after an interruption must not make an empty one.
    """
    kept = Path(f"{database}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    existed = database.exists()
    if existed:
        os.link(database, kept)
    _replace_key(key_path(database), backup_key, key_path(kept))
    for suffix in LOG_SUFFIXES:
        if (log := Path(f"{database}{suffix}")).exists():
            os.replace(log, f"{kept}{suffix}")
    Path(f"{database}-shm").unlink(missing_ok=True)
    os.replace(draft, database)
    moved_mark(database).unlink(missing_ok=True)  # nothing waits in it that could be paid for again
    sync(database.absolute().parent)
    return kept if existed else None


def _replace_key(key: Path, backup_key: Path, kept_key: Path) -> None:
    if not backup_key.is_file():
        return
    if key.exists():
        os.link(key, kept_key)
    draft = key.with_name(f"{key.name}.{os.getpid()}")
    copy_key(backup_key, draft)
    _hand_over(draft, key)
    os.replace(draft, key)


def _hand_over(draft: Path, place: Path) -> None:
    """Run by root, as in a container: the service's own user must be able to open what is restored."""
    if os.geteuid() == 0:
        owner = (place if place.exists() else place.absolute().parent).stat()
        shutil.chown(draft, owner.st_uid, owner.st_gid)


if __name__ == "__main__":
    raise SystemExit(run_command("restore", DESCRIPTION, restore))
