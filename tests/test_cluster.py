"""Three instances as processes of their own on one PostgreSQL database."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos_cluster import run_cluster_chaos
from tests.postgres_server import RunningServer, start_postgres

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def own_server() -> Iterator[RunningServer]:
    """A server that tests may kill."""
    with start_postgres() as server:
        if server.data is None:
            pytest.skip("TEST_DATABASE_URL is a server that other tests need")
        yield server


@pytest.fixture
def database_url(own_server: RunningServer) -> Iterator[str]:
    with own_server.database() as url:
        yield url


def test_four_rounds_of_chaos_with_three_instances_lose_nothing_and_pay_nothing_twice(
    own_server: RunningServer, database_url: str, tmp_path: Path
) -> None:
    outcome = run_cluster_chaos(4, tmp_path, seed=7, server=own_server, database_url=database_url)
    assert outcome.figures()["tasks accepted"] > 20
    assert outcome.figures()["webhooks sent by RunningHub"] > 20
    assert set(outcome.sums().values()) == {0}, json.dumps(outcome.sums())
