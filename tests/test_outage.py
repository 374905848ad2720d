"""An outage of RunningHub with many tasks waiting costs one unknown task per account at most."""

import asyncio
from pathlib import Path

import pytest

from tests.outage import run_outage

pytestmark = pytest.mark.processes


def test_an_outage_costs_one_unknown_task_per_account_and_all_others_succeed(tmp_path: Path) -> None:
    outcome = asyncio.run(run_outage(6, tmp_path, tasks=400))
    assert outcome.faults() == []
    assert outcome.waiting_at_start == 400
    assert outcome.calls_in_outage["run"] > 0
