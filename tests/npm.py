"""npm in a folder of this repository, with its packages as the lock file has them."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from config import Settings
from main import create_app
from tests.processes import clean_environment

TIMEOUT_S = 300


def npm(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["npm", *arguments],
        cwd=folder,
        env=clean_environment() | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def install(folder: Path) -> None:
    """`npm ci`; the packages stay until the lock file changes."""
    installed, lock = folder / "node_modules/.package-lock.json", folder / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        done = npm(folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        assert done.returncode == 0, done.stderr
        installed.touch()


def generate_types(folder: Path, target: Path) -> None:
    """The types of the API as it is, written by the openapi-typescript of `folder`."""
    document = target.with_suffix(".json")
    document.write_text(json.dumps(create_app(Settings()).openapi()))
    generated = npm(folder, "exec", "--", "openapi-typescript", str(document), "--output", str(target))
    assert generated.returncode == 0, generated.stderr
