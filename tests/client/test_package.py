"""The client package: its tests under Node against the service and the simulator, and what it publishes."""

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.npm import generate_types, install, npm
from tests.processes import ROOT, start_service, start_simulator

CLIENT = ROOT / "client"
MAX_GZIPPED_BYTES = 8_000
TOKEN = "a-long-random-word"
QUICK = {"POLL_INTERVAL_S": "0.1", "POLL_INTERVAL_MAX_S": "0.2"}

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    install(CLIENT)


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the tests under Node need: a service, one that requires a token, and the simulator behind both."""
    folder = tmp_path_factory.mktemp("services")
    with (
        start_simulator(queue_time=0.1, run_time=0.3, slots=0) as simulator,
        start_service(simulator.url, folder / "open.db", env=QUICK) as service,
        start_service(simulator.url, folder / "guarded.db", env={**QUICK, "ACCESS_TOKENS": TOKEN}) as guarded,
    ):
        yield {
            "SIMULATOR_URL": simulator.url,
            "GATEWAY_URL": service.url,
            "GUARDED_URL": guarded.url,
            "GUARDED_TOKEN": TOKEN,
        }


def test_all_tests_under_node_pass(addresses: dict[str, str]) -> None:
    done = npm(CLIENT, "test", env=addresses)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_built_files_are_those_of_the_sources(tmp_path: Path) -> None:
    # In a copy: other tests use dist at the same time.
    copy = shutil.copytree(CLIENT, tmp_path / "client", ignore=shutil.ignore_patterns("dist", "node_modules"))
    (copy / "node_modules").symlink_to(CLIENT / "node_modules")
    built = npm(copy, "run", "--silent", "build")
    assert (built.returncode, built.stdout) == (0, "")
    is_current = texts(copy / "dist") == texts(CLIENT / "dist")
    assert is_current, "The sources have changed: `make client`."


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_types_are_those_of_the_api(tmp_path: Path) -> None:
    generate_types(CLIENT, tmp_path / "schema.d.ts")
    is_current = (CLIENT / "schema.d.ts").read_text() == (tmp_path / "schema.d.ts").read_text()
    assert is_current, "The API has changed: `make client`."


def test_what_is_published_needs_no_other_package_and_is_complete() -> None:
    packed = npm(CLIENT, "pack", "--dry-run", "--json", "--ignore-scripts")
    files = {file["path"] for file in json.loads(packed.stdout)[0]["files"]}
    declarations = {f"dist/{path.stem}.d.ts" for path in (CLIENT / "src").glob("*.ts")}
    assert files == {
        "LICENSE",
        "README.md",
        "package.json",
        "schema.d.ts",
        "dist/gateway.js",
        *declarations,
    }
    assert "dependencies" not in json.loads((CLIENT / "package.json").read_text())
    assert (CLIENT / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_module_is_small_and_stands_alone() -> None:
    module = (CLIENT / "dist/gateway.js").read_bytes()
    assert len(gzip.compress(module)) < MAX_GZIPPED_BYTES
    assert b"import " not in module
