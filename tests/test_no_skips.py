"""A skipped test fails CI, and only there."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, clean_environment

SKIPPED = "import pytest\ndef test_one(): pytest.skip('no browser')\ndef test_two(): pass\n"
PASSED = "def test_one(): pass\n"

pytestmark = pytest.mark.processes


@pytest.mark.parametrize(
    ("tests", "ci", "expected"), [(SKIPPED, "true", 1), (SKIPPED, "", 0), (PASSED, "true", 0)]
)
def test_a_skipped_test_is_a_failure_in_ci_alone(tests: str, ci: str, expected: int, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(tests, "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.no_skips",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]

    ended = subprocess.run(
        [*command, "-c", "/dev/null"],
        cwd=ROOT,
        env=clean_environment() | {"CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == expected, ended.stdout + ended.stderr
