"""Reads and submits against the first release, both run in turn with the same packages."""

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, rows, servers
from bench.calls import run_load_on, submit_load, task_reads
from bench.load import Load
from bench.report import Findings, Goal, Rounds, Scale, Table
from bench.servers import ROOT, Server

COMMIT = "ba1cf8c"
KINDS = ("service", "first release")
READ_ROWS, READ_IDS = 100_000, 5_000
LONG_S = 3_600
RUN_LATENCY_S = 0.3
# So many that both have the form in memory and make as many paid calls at once as they ever do.
WARM_UP = 600
SUBMITS = {"1 at once": (1, 60), "32 at once": (32, 384)}
DELAYED_SUBMITS = 192
SETTINGS = {"poll_interval_s": "120", "poll_interval_max_s": "120", "outputs_url": "none"}
# What counts as noise: two equal servers differ by as much from run to run.
NOISE = 0.95


def measure(scale: Scale) -> Findings:
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as directory:
        sources = {"service": ROOT, "first release": _check_out(Path(directory, "first-release"))}
        _measure_reads(rounds, scale, sources, Path(directory))
        for run_latency_s in (0.0, RUN_LATENCY_S):
            _measure_submits(rounds, scale, sources, run_latency_s)
    return _findings(rounds, scale)


def _check_out(directory: Path) -> Path:
    """The sources of the first release. Raises RuntimeError where this is no clone with its history."""
    archived = subprocess.run(  # noqa: S603 - nothing in it comes from outside
        ["git", "-C", str(ROOT), "archive", COMMIT],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if archived.returncode:
        raise RuntimeError(f"the first release is not in this clone: {archived.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory


def _measure_in_turn(rounds: Rounds, count: int, measures: dict[str, Callable[[], float]]) -> None:
    """Every second round in the reverse order, so that being first is no advantage."""
    for number in range(count):
        names = list(measures) if number % 2 == 0 else list(reversed(measures))
        rounds.measure(1, {name: measures[name] for name in names})


def _measure_reads(rounds: Rounds, scale: Scale, sources: dict[str, Path], directory: Path) -> None:
    ids = [rows.finished_id(number) for number in range(1, READ_ROWS + 1, READ_ROWS // READ_IDS)]
    loads = {
        "GET /tasks/{id}": lambda url: Load(url, task_reads(ids), connections=32, seconds=scale.seconds),
        "GET /tasks": lambda url: Load(url, [("GET", "/tasks", None)], connections=4, seconds=scale.seconds),
    }
    with ExitStack() as stack:
        upstream = stack.enter_context(servers.simulator())
        started = {}
        for kind, source in sources.items():
            database = directory / f"{kind}.db"
            with servers.service(upstream, database, source, **SETTINGS):
                pass  # it creates its own schema
            rows.add_finished(database, READ_ROWS)
            started[kind] = stack.enter_context(servers.service(upstream, database, source, **SETTINGS))
        for name, load in loads.items():
            _compare(rounds, scale, name, started, load)


def _measure_submits(rounds: Rounds, scale: Scale, sources: dict[str, Path], run_latency_s: float) -> None:
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        started = {}
        for kind, source in sources.items():
            # One for each, so that neither has to do with the other's tasks.
            upstream = stack.enter_context(
                servers.simulator(slots=0, queue_time=LONG_S, run_time=LONG_S, run_latency=run_latency_s)
            )
            database = Path(directory, f"{kind}.db")
            started[kind] = stack.enter_context(servers.service(upstream, database, source, **SETTINGS))
            run_load_on(started[kind], submit_load(started[kind].url, connections=32, count=WARM_UP))
        if run_latency_s:
            name = f"POST /submit_task, 32 at once, run latency {run_latency_s:g} s"
            _compare(rounds, scale, name, started, _submits(32, DELAYED_SUBMITS))
            return
        for name, (connections, count) in SUBMITS.items():
            _compare(rounds, scale, f"POST /submit_task, {name}", started, _submits(connections, count))


def _submits(connections: int, count: int) -> Callable[[str], Load]:
    return lambda url: submit_load(url, connections=connections, count=count)


def _compare(
    rounds: Rounds, scale: Scale, name: str, started: dict[str, Server], load: Callable[[str], Load]
) -> None:
    def per_second(kind: str) -> float:
        outcome, cpu_us = run_load_on(started[kind], load(started[kind].url))
        if outcome.errors:
            raise RuntimeError(f"{name} at {kind}: {outcome.statuses}")
        rounds.note(f"{name} {kind} CPU", cpu_us)
        return outcome.per_second

    _measure_in_turn(rounds, scale.rounds, {f"{name} {kind}": partial(per_second, kind) for kind in KINDS})


def _findings(rounds: Rounds, scale: Scale) -> Findings:
    names = [name.removesuffix(" service") for name in rounds.by_name if name.endswith(" service")]
    ratios = {name: rounds.ratio(f"{name} service", to=f"{name} first release") for name in names}
    return Findings(
        title="Against the first release",
        method=f"The first release ({COMMIT}) and the service in turn, {scale.rounds} rounds, every"
        " second round in the reverse order; the same packages, settings and requests. Reads:"
        f" {READ_ROWS:,} rows, 32 at once, pages 4 at once. Submits: each has its own simulator with"
        f" free slots for all, and"
        f" {WARM_UP} submits behind it. The ratio is the median of the rounds' ratios; below {NOISE:g} the"
        " service is slower.",
        goals=[Goal.at_least(f"{name} against the first release", ratios[name], NOISE) for name in names],
        tables=[
            Table(
                ["a second", *KINDS, "ratio", "processor time", "of the first release"],
                [
                    [
                        name,
                        *(f"{rounds.median(f'{name} {kind}'):,.0f}" for kind in KINDS),
                        f"{ratios[name]:.2f}",
                        *(f"{rounds.median(f'{name} {kind} CPU'):,.0f} µs" for kind in KINDS),
                    ]
                    for name in names
                ],
            )
        ],
        plot=plots.bars(
            "first_release",
            "Against the first release",
            "requests a second (log)",
            {name: {kind: rounds.median(f"{name} {kind}") for kind in KINDS} for name in names},
            is_log=True,
        ),
    )
