"""A million rows, and a hundred thousand tasks that wait: what each request costs then."""

import asyncio
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPConnection
from itertools import product
from pathlib import Path
from statistics import median

from bench import plots, rows, servers
from bench.load import Load, run_load
from bench.report import Findings, Goal, Rounds, Scale, Table
from bench.servers import Server
from database import Database
from tasks.submit_limiter import AccountLimits, SubmitPlanner

FEW_ROWS = 10
USERS = {"one user": 1, "1,000 users": 1_000}
COUNT = 60
PAGES = 10
CLAIMS = 20
PAGE_MS, CLAIM_MS, HEALTH_RATIO, FILTER_MS = 50, 20, 1.5, 50
ACCOUNT = AccountLimits("default", "https://www.runninghub.cn", "fingerprint", max_concurrent=10**6)
# Values that few or no rows have are the hard ones: an index has to say so.
FILTERS = {
    "status": ("", "SUCCESS", "FAILED"),
    "webapp_id": ("", rows.webapp_id(3), "0"),
    "owner": ("", "ann"),
    "created_after": ("", "2026-01-05T00:00:00Z", "2027-01-01T00:00:00Z"),
    "created_before": ("", "2026-01-01T00:00:05Z"),
}


def measure(scale: Scale) -> Findings:
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(servers.simulator())
        few, many = Path(directory, "few.db"), Path(directory, "many.db")
        rows.create_finished(few, FEW_ROWS)
        rows.create_finished(many, scale.rows)
        small = stack.enter_context(servers.service(upstream, few))
        large = stack.enter_context(servers.service(upstream, many))
        rounds.measure(
            2 * scale.rounds,
            {
                "health, few rows": partial(_p50_ms, small, "/health"),
                "health, many rows": partial(_p50_ms, large, "/health"),
            },
        )
        filtered = _filtered_ms(large)
    waiting = {name: _waiting_ms(scale, users) for name, users in USERS.items()}
    pages = {name: page_ms for name, (page_ms, _) in waiting.items()}
    claims = {name: claim_ms for name, (_, claim_ms) in waiting.items()}
    return _findings(rounds, scale, filtered, pages, claims)


def _queries() -> Iterable[str]:
    for values in product(*FILTERS.values()):
        yield "&".join(f"{name}={value}" for name, value in zip(FILTERS, values, strict=True) if value)


def _filtered_ms(server: Server) -> dict[str, float]:
    """The median time of a page by each query, without a load generator of its own: there are many."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    with closing(connection):
        return {query: _median_ms(connection, f"/tasks?{query}") for query in _queries()}


def _median_ms(connection: HTTPConnection, path: str) -> float:
    times = []
    for _ in range(PAGES):
        started = time.perf_counter()
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        times.append((time.perf_counter() - started) * 1000)
        if response.status != 200:
            raise RuntimeError(f"{path}: HTTP {response.status}")
    return median(times)


def _p50_ms(server: Server, path: str) -> float:
    outcome = run_load(Load(server.url, [("GET", path, None)], count=COUNT))
    if outcome.errors:
        raise RuntimeError(f"{path}: {outcome.statuses}")
    return outcome.percentile_ms(50)


def _waiting_ms(scale: Scale, users: int) -> tuple[float, float]:
    """The median time of a page of 200 waiting tasks with their places in the queue, read from the database,
    and of a claim of the next one, which is written to disk.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "waiting.db")
        rows.create_waiting(path, scale.unfinished, users)
        return asyncio.run(_page_ms(path)), asyncio.run(_claims_ms(path))


async def _page_ms(path: Path) -> float:
    async with Database(str(path)) as database:
        times = []
        for _ in range(CLAIMS):
            started = time.perf_counter()
            await database.page(before_seq=2**62, limit=200)
            times.append((time.perf_counter() - started) * 1000)
    return median(times)


async def _claims_ms(path: Path) -> float:
    async with Database(str(path)) as database:
        times = []
        for number in range(1, CLAIMS + 1):
            one_more = SubmitPlanner((ACCOUNT,), max_concurrent=number)
            started = time.perf_counter()
            claimed = await database.claim_pending(one_more, frozenset({ACCOUNT.name}))
            if len(claimed) != 1:
                raise RuntimeError(f"{len(claimed)} tasks were claimed")
            times.append((time.perf_counter() - started) * 1000)
    return median(times)


def _findings(
    rounds: Rounds,
    scale: Scale,
    filtered: dict[str, float],
    pages: dict[str, float],
    claims: dict[str, float],
) -> Findings:
    waiting = f"{scale.unfinished:,} waiting tasks"
    worst = max(filtered, key=lambda query: filtered[query])
    return Findings(
        title="Large tables",
        method=f"`/health` with {FEW_ROWS} rows and with {scale.rows:,}, in turn. `GET /tasks` of 50 with"
        f" every combination of filters ({len(filtered)}), values that many, few and no rows have. Then"
        f" {waiting} of one user, and of 1,000 users in turns: a page of 200 with their places in the queue,"
        " and the claim of the next one, which is written to disk.",
        goals=[
            Goal.at_most(
                f"/health with {scale.rows:,} rows against {FEW_ROWS}, p50",
                rounds.ratio("health, many rows", to="health, few rows"),
                HEALTH_RATIO,
                "times",
            ),
            Goal.at_most("GET /tasks with the worst filters, p50", filtered[worst], FILTER_MS, "ms"),
            *(
                Goal.at_most(f"a page of 200 of {waiting} of {name}", page_ms, PAGE_MS, "ms")
                for name, page_ms in pages.items()
            ),
            *(
                Goal.at_most(f"claim of the next of {waiting} of {name}", claim_ms, CLAIM_MS, "ms")
                for name, claim_ms in claims.items()
            ),
        ],
        tables=[
            Table(
                ["p50", "10 rows", f"{scale.rows:,} rows"],
                [
                    [
                        "/health",
                        f"{rounds.median('health, few rows'):.2f} ms",
                        f"{rounds.median('health, many rows'):.2f} ms",
                    ]
                ],
            ),
            Table(
                ["GET /tasks", "p50"],
                [
                    ["median of all combinations", f"{median(filtered.values()):.1f} ms"],
                    [f"worst: `{worst}`", f"{filtered[worst]:.1f} ms"],
                ],
            ),
            Table(
                [waiting, *USERS],
                [
                    ["a page of 200", *(f"{page_ms:.1f} ms" for page_ms in pages.values())],
                    ["claim of the next", *(f"{claim_ms:.1f} ms" for claim_ms in claims.values())],
                ],
            ),
        ],
        plot=plots.bars(
            "large_tables",
            waiting,
            "ms",
            {"a page of 200": pages, "claim of the next": claims},
        ),
    )
