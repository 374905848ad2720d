"""What a token or a JWT adds to a read."""

import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.request import Request, urlopen

import jwt

from bench import plots, rows, servers
from bench.calls import run_load_on, task_reads
from bench.load import Load
from bench.report import Findings, Goal, Rounds, Scale, Table
from bench.servers import Server

ROWS = 1_000
COUNT = 500
ADDED_MS = 0.1
ACCESS_TOKEN = "an-access-token-of-the-benchmark"  # noqa: S105 - of nothing
JWT_SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 - of nothing
KINDS = ("no token", "access token", "user token", "JWT")


def measure(scale: Scale) -> Findings:
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(servers.simulator())
        started = {}
        for name, settings in {
            "open": {},
            "guarded": {"access_tokens": ACCESS_TOKEN, "jwt_secret": JWT_SECRET},
        }.items():
            database = Path(directory, f"{name}.db")
            rows.create_finished(database, ROWS)
            rows.give_to(database, "ann")
            started[name] = stack.enter_context(servers.service(upstream, database, **settings))
        tokens = {
            "access token": ACCESS_TOKEN,
            "user token": _user_token(started["guarded"]),
            "JWT": jwt.encode({"sub": "ann", "exp": time.time() + 86_400}, JWT_SECRET, "HS256"),
        }
        for _ in range(2 * scale.rounds):
            _measure(rounds, "no token", started["open"], "")
            for kind, token in tokens.items():
                _measure(rounds, kind, started["guarded"], token)
    return _findings(rounds)


def _user_token(server: Server) -> str:
    request = Request(  # noqa: S310 - our own http address
        f"{server.url}/users", data=b'{"name": "ann"}', method="POST"
    )
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", f"Bearer {ACCESS_TOKEN}")
    with urlopen(request, timeout=30) as response:  # noqa: S310 - our own http address
        return str(json.load(response)["token"])


def _measure(rounds: Rounds, kind: str, server: Server, token: str) -> None:
    load = Load(server.url, task_reads([rows.finished_id(1)]), count=COUNT, token=token)
    outcome, cpu_us = run_load_on(server, load)
    if outcome.errors:
        raise RuntimeError(f"reads with a token: {outcome.statuses}")
    rounds.note(kind, outcome.percentile_ms(50))
    rounds.note(f"{kind}, processor", cpu_us)


def _findings(rounds: Rounds) -> Findings:
    added = {kind: rounds.difference(kind, "no token") for kind in KINDS[1:]}
    return Findings(
        title="Authentication",
        method=f"`GET /tasks/{{id}}` one after the other over one connection, {COUNT}"
        " a round, all kinds in turn: without token settings, and with an access token, a user's token and a"
        " JWT (HS256).",
        goals=[
            Goal.at_most(f"added to a read by a valid {kind}, p50", added_ms, ADDED_MS, "ms")
            for kind, added_ms in added.items()
        ],
        tables=[
            Table(
                ["p50", *KINDS],
                [
                    ["a read", *(f"{rounds.median(kind):.3f} ms" for kind in KINDS)],
                    ["added", "", *(f"{added_ms:.3f} ms" for added_ms in added.values())],
                    [
                        "processor time of a read",
                        *(f"{rounds.median(f'{kind}, processor'):.0f} µs" for kind in KINDS),
                    ],
                ],
            )
        ],
        plot=plots.bars(
            "authentication",
            "GET /tasks/{id}, p50",
            "ms",
            {"p50": {kind: rounds.median(kind) for kind in KINDS}},
        ),
    )
