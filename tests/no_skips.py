"""A pytest plugin: in CI (CI=true) all that the tests need is installed, so a skipped test is a failure."""

import os

import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    is_ci = os.environ.get("CI") == "true"
    if is_ci and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("\nA test was skipped, which counts as a failure in CI.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
