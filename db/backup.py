"""`python -m db.backup FILE` copies the database and its secret key, also while the service runs."""

import os
from pathlib import Path

from db.copies import CommandRefused, check_copy, copy_database, copy_key, key_path, run_command, sync

DESCRIPTION = "Back up the database and its secret key, also while the service runs."


def back_up(file: Path, database: Path) -> str:
    """Make `file` and `file.secret`; returns what was done.

    `file` appears last and complete: after an interruption there is none, or a whole one.
    """
    key, backup_key = key_path(database), key_path(file)
    if not database.is_file():
        raise CommandRefused(f"there is no database {database}")
    for new in (file, backup_key):
        if new.exists():
            raise CommandRefused(f"{new} exists already; name a new file")
    draft = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        copy_database(database, draft)
        count = check_copy(draft, str(database))
        sync(draft)
        has_key = key.is_file()
        if has_key:
            copy_key(key, backup_key)
        os.rename(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    sync(file.absolute().parent)
    with_key = f"with its secret key {backup_key}" if has_key else f"without a key, since there is no {key}"
    return f"backed up {count} tasks of {database} to {file}, {with_key}"


if __name__ == "__main__":
    raise SystemExit(run_command("backup", DESCRIPTION, back_up))
