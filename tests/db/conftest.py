"""What the tests of the commands share."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the service's database is, in a folder of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "tasks.db"
