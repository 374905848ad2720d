"""`make chaos-cluster`: as `make chaos`, with three instances on PostgreSQL; either are killed in turn.

An instance is killed by `kill -9`; the server by `kill -9` or an immediate shutdown, sometimes an instance
with it. Every request goes to any of the three, whether it is up or not.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import asyncpg

from simulator import local_postgres
from tests.chaos import CLIENTS, LIVES_S, ROWS, SIMULATOR, Outcome, Record, load, outcome, report, settings
from tests.postgres_server import NO_SERVER, RunningServer, start_postgres
from tests.processes import Running, free_port, start_service, start_simulator

ROUNDS = 50
INSTANCES = 3
# Every instance, then the server, and again.
SERVER = INSTANCES
SERVER_AWAY_S = (0.1, 2.0)


class Instance:
    """One process of the service, at a port that stays."""

    def __init__(self, simulator_url: str, directory: Path, database_url: str) -> None:
        self._simulator_url = simulator_url
        self._directory = directory
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._env = settings(simulator_url, self.url) | {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "the-same-secret-key-for-all-instances",
        }
        self._stack = ExitStack()
        self._process: Running | None = None

    def start(self) -> None:
        self._process = self._stack.enter_context(
            start_service(self._simulator_url, self._directory / "unused.db", env=self._env, port=self._port)
        )

    def kill(self) -> None:
        if self._process:
            self._process.kill()
        self.stop()

    def stop(self) -> None:
        self._process = None
        self._stack.close()


def run_cluster_chaos(
    rounds: int, directory: Path, seed: int, server: RunningServer, database_url: str
) -> Outcome:
    """Kill and restart instances and the server so many times under load, then let the tasks finish."""
    chance, record = random.Random(seed), Record()
    with start_simulator(seed=seed, **SIMULATOR) as simulator, ExitStack() as stack:
        instances = [Instance(simulator.url, directory, database_url) for _ in range(INSTANCES)]
        for instance in instances:
            stack.callback(instance.stop)
            instance.start()
        urls = [instance.url for instance in instances]
        with load(urls, simulator.url, record, seed) as person:
            for _, target in zip(range(rounds), cycle(range(INSTANCES + 1)), strict=False):
                time.sleep(chance.uniform(*LIVES_S))
                if target == SERVER:
                    _kill_server(server, instances, chance)
                else:
                    instances[target].kill()
                    instances[target].start()
        person.finish()
        return outcome(record, asyncio.run(_stored(database_url)), simulator.url)


def _kill_server(server: RunningServer, instances: list[Instance], chance: random.Random) -> None:
    """Sometimes with an instance, whose outcomes in memory are lost."""
    with_it = [instance for instance in instances if chance.random() < 0.15]
    chance.choice([server.kill, server.stop])()
    for instance in with_it:
        instance.kill()
    time.sleep(chance.uniform(*SERVER_AWAY_S))
    server.start()
    for instance in with_it:
        instance.start()


async def _stored(database_url: str) -> list[Any]:
    connection = await asyncpg.connect(database_url)
    try:
        return [tuple(row) for row in await connection.fetch(ROWS)]
    finally:
        await connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    options = parser.parse_args()
    if local_postgres.program("initdb") is None:
        print(NO_SERVER, file=sys.stderr)
        return 1
    print(
        f"{options.rounds} rounds, {INSTANCES} instances, {CLIENTS} clients, seed {options.seed}", flush=True
    )
    with (
        tempfile.TemporaryDirectory() as directory,
        start_postgres() as server,
        server.database() as database_url,
    ):
        return report(run_cluster_chaos(options.rounds, Path(directory), options.seed, server, database_url))


if __name__ == "__main__":
    sys.exit(main())
