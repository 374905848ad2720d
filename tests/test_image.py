"""The Docker image contains the files that .dockerignore selects: enough to run, and no secret."""

import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from tests.http_client import http_client
from tests.postgres_server import RunningServer
from tests.processes import ROOT, start_service

PRIVATE = (".env", ".env.production", "tasks.db", "tasks.db-wal", "tasks.db.secret", "key.pem")
UNNEEDED = (
    ".git/config",
    ".venv/lib/site.py",
    "tests/conftest.py",
    "simulator/app.py",
    "docs/take_screenshots.py",
)


def as_regex(pattern: str) -> re.Pattern[str]:
    """A pattern of .dockerignore: `**/` stands for any number of folders, `*` for anything but a slash."""
    parts = re.split(r"(\*\*/|\*)", pattern)
    wildcards = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return re.compile("".join(wildcards.get(part, re.escape(part)) for part in parts))


def is_in_image(name: str) -> bool:
    """Docker's rule: the last pattern that matches the file or one of its folders decides."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    path = PurePosixPath(name)
    candidates = [str(path), *(str(parent) for parent in path.parents if parent.name)]
    included = True
    for line in lines:
        if line and not line.startswith("#"):
            pattern = as_regex(line.removeprefix("!"))
            if any(pattern.fullmatch(candidate) for candidate in candidates):
                included = line.startswith("!")
    return included


def project_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize("name", [*PRIVATE, *UNNEEDED])
def test_private_and_unneeded_files_stay_out_of_the_image(name: str) -> None:
    assert not is_in_image(name)


def test_a_module_of_a_new_package_is_in_the_image() -> None:
    assert is_in_image("new_package/module.py")
    assert is_in_image("new_package/inner/module.py")


def test_the_image_installs_the_drivers_of_both_databases() -> None:
    assert "pip install --no-cache-dir --require-hashes -r requirements.lock" in read("Dockerfile")
    pinned = re.findall(r"(?m)^([\w.-]+)==", read("requirements.lock"))
    assert {"aiosqlite", "asyncpg"} <= set(pinned)


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The image's files alone."""
    image = tmp_path / "app"
    for name in filter(is_in_image, project_files()):
        (image / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, image / name)
    return image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The database's place in the volume."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "tasks.db"


def assert_serves(image: Path, data: Path, **env: str) -> None:
    app_dir = ("--app-dir", str(image))
    with start_service("http://127.0.0.1:1", data, env=env, arguments=app_dir) as service:
        for path in ("/", "/docs", "/tasks"):
            assert http_client.get(f"{service.url}{path}").status_code == 200


@pytest.mark.processes
def test_the_service_starts_from_the_image_s_files_alone(image: Path, data: Path) -> None:
    assert_serves(image, data)


@pytest.mark.processes
def test_the_image_s_files_move_a_database_to_postgresql_and_serve_it(
    image: Path, data: Path, postgres_server: RunningServer
) -> None:
    assert_serves(image, data)
    with postgres_server.database() as url:
        command = [sys.executable, "-m", "db.move", f"sqlite:///{data}", url]
        subprocess.run(command, cwd=image, check=True, capture_output=True)
        assert_serves(image, data, DATABASE_URL=url, SECRET_KEY=f"hex:{Path(f'{data}.secret').read_text()}")
