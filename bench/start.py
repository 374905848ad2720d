"""Start and memory: from the command to the first 200, on an empty database and with unfinished tasks."""

import tempfile
import time
from pathlib import Path

from bench import plots, rows, servers
from bench.report import Findings, Goal, Rounds, Scale, Table

ROUNDS = 3
START_S, MORE_S = 1.5, 1.0
IDLE_AFTER_S = 1.0
# The unfinished tasks are due over this time, as they are while the service runs.
DUE_WITHIN_MS = 15_000


def measure(scale: Scale) -> Findings:
    rounds, rss_mb = Rounds(), Rounds()
    with tempfile.TemporaryDirectory() as directory, servers.simulator() as upstream:
        empty, unfinished = Path(directory, "empty.db"), Path(directory, "unfinished.db")
        rows.create(empty)
        _create_unfinished(unfinished, scale.unfinished)

        def start(name: str, database: Path) -> float:
            with servers.service(upstream, database) as server:
                time.sleep(IDLE_AFTER_S)
                rss_mb.note(name, server.rss_mb)
                return server.start_s

        def start_plain() -> float:
            with servers.plain(upstream, Path(directory, "plain.db")) as server:
                rss_mb.note("plain", server.rss_mb)
                return server.start_s

        rounds.measure(
            1 if scale.is_quick else ROUNDS,
            {
                "empty": lambda: start("empty", empty),
                "unfinished": lambda: start("unfinished", unfinished),
                "plain": start_plain,
            },
        )
    return _findings(rounds, rss_mb, scale.unfinished)


def _create_unfinished(path: Path, count: int) -> None:
    now_ms = int(time.time() * 1000)
    rows.create_running(
        path,
        (
            {
                "id": f"{number:032x}",
                "webapp_id": "1992755951447109633",
                "runninghub_task_id": str(1_890_000_000_000_000_000 + number),
                "began_ms": now_ms - 60_000,
                "next_poll_ms": now_ms + number * DUE_WITHIN_MS // count,
                "poll_deadline_ms": now_ms + DUE_WITHIN_MS + number * DUE_WITHIN_MS // count,
            }
            for number in range(count)
        ),
    )


def _findings(rounds: Rounds, rss_mb: Rounds, unfinished: int) -> Findings:
    return Findings(
        title="Start and memory",
        method="From starting `uvicorn main:app` to the first 200 of `/health` (the plain version:"
        f" `/openapi.json`), with an empty database and with {unfinished:,} unfinished tasks whose polls"
        f" are all due within {DUE_WITHIN_MS // 1000} s. Resident memory a second later.",
        goals=[
            Goal.at_most("start to the first 200", rounds.median("empty"), START_S, "s"),
            Goal.at_most(
                f"more time with {unfinished:,} unfinished rows",
                rounds.difference("unfinished", "empty"),
                MORE_S,
                "s",
            ),
        ],
        tables=[
            Table(
                ["", "empty", f"{unfinished:,} unfinished", "plain"],
                [
                    [
                        "first 200",
                        *(f"{rounds.median(name):.2f} s" for name in ("empty", "unfinished", "plain")),
                    ],
                    [
                        "resident",
                        *(f"{rss_mb.median(name):.0f} MB" for name in ("empty", "unfinished", "plain")),
                    ],
                ],
            )
        ],
        plot=plots.bars(
            "start",
            "From the command to the first 200",
            "seconds",
            {
                "service, empty": {"": rounds.median("empty")},
                f"service, {unfinished:,} unfinished": {"": rounds.median("unfinished")},
                "plain": {"": rounds.median("plain")},
            },
        ),
    )
