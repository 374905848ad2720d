"""The page's plain logic, tested by Node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

LOGIC = Path(__file__).parent / "logic"


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")
def test_the_logic_passes_its_tests_under_node() -> None:
    files = sorted(map(str, LOGIC.glob("*.test.mjs")))
    done = subprocess.run(
        ["node", "--test", *files], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert f"# pass {done.stdout.count('Subtest')}" in done.stdout


def test_the_page_has_the_client_package_as_it_is_published() -> None:
    root = Path(__file__).parent.parent.parent
    is_copy = (root / "web/vendor/gateway.js").read_bytes() == (root / "client/dist/gateway.js").read_bytes()
    assert is_copy, "The client package has changed: `make client`."
