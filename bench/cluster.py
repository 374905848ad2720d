"""SQLite and PostgreSQL side by side with one instance, and what three instances on PostgreSQL are for."""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

from bench import plots, servers
from bench.calls import (
    all_tasks,
    post,
    request_json,
    run_load_on,
    submit,
    submit_as_saved,
    submit_load,
    task_reads,
)
from bench.load import Load, LoadProcess, run_load
from bench.postgres import Postgres, postgres
from bench.report import Findings, Goal, Rounds, Scale, Table
from bench.servers import Server
from simulator.apps import VIDEO

AT_ONCE = 32
INSTANCES = 3
ENGINES = ("SQLite", "PostgreSQL")
LONG_S = 36_000
WARM_UP = 300
SUBMITS = 256
# So many tasks, polled as fast as the service can.
POLLED, POLL_EVERY_S = 1_000, 0.1
LONGEST_WAIT_S, READS_PER_S = 15, 100
CHANGES = 60
GOAL_DELAY_MS, GOAL_THREE, LATE, READ_P99_MS = 300, 1.5, 2, 100
# No poll falls into what is measured beside polling.
NO_POLLS = {"poll_interval_s": "3600", "poll_interval_max_s": "3600"}
SHARED = {"secret_key": "the-same-secret-key-for-all-instances", "outputs_url": "none"}


@dataclass(frozen=True, slots=True)
class InFlight:
    """Polling of many tasks by several instances."""

    tasks: int
    polls_per_s: float
    gaps_s: list[float]
    """Between two polls of a task."""
    cpu_shares: list[float]
    rss_mb: float
    read_p99_ms: float


def measure(scale: Scale) -> Findings:
    rounds = Rounds()
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        _measure_engines(rounds, scale, server, Path(folder))
        _measure_instances(rounds, scale, server)
        delays_ms = _delays_ms(scale, server)
        in_flight = _in_flight(scale, server)
    return _findings(rounds, scale, delays_ms, in_flight)


def _measure_engines(rounds: Rounds, scale: Scale, server: Postgres, folder: Path) -> None:
    """One instance on each engine."""
    with ExitStack() as stack:
        upstream = stack.enter_context(servers.simulator(slots=0, queue_time=0, run_time=LONG_S))
        urls = {"SQLite": f"sqlite:///{folder}/tasks.db", "PostgreSQL": server.database("engines")}
        services = {
            name: stack.enter_context(_service(upstream, url, **NO_POLLS)) for name, url in urls.items()
        }
        for service in services.values():
            run_load(submit_load(service.url, connections=8, count=WARM_UP))
        reads = {
            name: task_reads([task["id"] for task in all_tasks(service)])
            for name, service in services.items()
        }

        def reads_per_s(name: str) -> float:
            load = Load(services[name].url, reads[name], connections=AT_ONCE, seconds=scale.seconds)
            return _per_second(rounds, f"reads, {name}", services[name], load)

        def submits_per_s(name: str) -> float:
            load = submit_load(services[name].url, connections=AT_ONCE, count=_submits(scale))
            return _per_second(rounds, f"submits, {name}", services[name], load)

        for name, per_s in {"reads": reads_per_s, "submits": submits_per_s}.items():
            rounds.measure(scale.rounds, {f"{name}, {engine}": partial(per_s, engine) for engine in ENGINES})
    for engine in ENGINES:
        with ExitStack() as stack:
            upstream = stack.enter_context(servers.simulator(slots=0, queue_time=0, run_time=LONG_S))
            url = f"sqlite:///{folder}/polls.db" if engine == "SQLite" else server.database("polls")
            every = {"poll_interval_s": str(POLL_EVERY_S), "poll_interval_max_s": str(POLL_EVERY_S)}
            service = stack.enter_context(_service(upstream, url, **every))
            run_load(submit_load(service.url, connections=8, count=POLLED))
            for _ in range(scale.rounds):
                _note_polls(rounds, engine, upstream, service, scale.seconds * 2)


def _submits(scale: Scale) -> int:
    return SUBMITS // 4 if scale.is_quick else SUBMITS


def _per_second(rounds: Rounds, name: str, server: Server, load: Load) -> float:
    outcome, cpu_us = run_load_on(server, load)
    rounds.note(f"{name} CPU", cpu_us)
    return outcome.per_second


def _note_polls(rounds: Rounds, engine: str, upstream: Server, service: Server, seconds: float) -> None:
    before, cpu_s, began = _polls(upstream), service.cpu_s, time.monotonic()
    time.sleep(seconds)
    polls = _polls(upstream) - before
    rounds.note(f"polls, {engine} CPU", (service.cpu_s - cpu_s) / max(1, polls) * 1e6)
    rounds.note(f"polls, {engine}", polls / (time.monotonic() - began))


def _polls(upstream: Server) -> int:
    calls = request_json(upstream, ("GET", "/simulator/counters", None))["calls"]
    return int(calls.get("outputs", 0))


def _measure_instances(rounds: Rounds, scale: Scale, server: Postgres) -> None:
    """Submits to one instance, and the same number to three, on one database."""
    with _instances(server.database("instances"), **NO_POLLS) as (_, instances):
        for instance in instances:
            run_load(submit_load(instance.url, connections=8, count=WARM_UP))

        def submits_per_s(used: Sequence[Server]) -> float:
            shares = [
                submit_load(one.url, connections=AT_ONCE // len(used), count=2 * _submits(scale) // len(used))
                for one in used
            ]
            at_work = [LoadProcess.start(share) for share in shares]
            return sum(load.outcome().per_second for load in at_work)

        rounds.measure(
            scale.rounds,
            {
                "one instance": lambda: submits_per_s(instances[:1]),
                "three instances": lambda: submits_per_s(instances),
            },
        )


def _delays_ms(scale: Scale, server: Postgres) -> list[float]:
    """From the response to a change by one instance to the event on another's stream."""
    count = CHANGES // 4 if scale.is_quick else CHANGES
    waiting = {"max_concurrent_tasks": "1", **NO_POLLS}
    with _instances(server.database("delays"), **waiting) as (_, (first, second, _)):
        request_json(first, submit())  # keeps all others waiting
        return [_delay_ms(first, second, request_json(first, submit())["task_id"]) for _ in range(count)]


def _delay_ms(first: Server, second: Server, task_id: str) -> float:
    address = urlsplit(second.url)
    stream = HTTPConnection(address.hostname or "", address.port, timeout=30)
    stream.request("GET", f"/tasks/{task_id}/events")
    response = stream.getresponse()
    _next_event(response)
    with ThreadPoolExecutor(1) as threads:
        shown = threads.submit(_shown_at, response)
        request_json(first, post(f"/tasks/{task_id}/cancel", {}))
        responded = time.monotonic()
        delay_s = shown.result() - responded
    stream.close()
    return max(0.0, delay_s) * 1000


def _shown_at(stream: HTTPResponse) -> float:
    while _next_event(stream) != "CANCELLED":
        pass
    return time.monotonic()


def _next_event(stream: HTTPResponse) -> str:
    """The status that the next event shows."""
    while not (line := stream.readline()).startswith(b"data: "):
        if not line:
            raise RuntimeError("the stream has ended")
    status: str = json.loads(line[6:])["status"]
    return status


def _in_flight(scale: Scale, server: Postgres) -> InFlight:
    """Many tasks on default settings, which three instances poll, while they are read."""
    tasks = scale.polled[-1]
    with ExitStack() as stack:
        upstream = stack.enter_context(servers.aged_upstream())
        url = server.database("in_flight")
        settings = {"max_pending_tasks": str(tasks), **SHARED}
        instances = [stack.enter_context(_service(upstream, url, **settings)) for _ in range(INSTANCES)]
        endless = {"run_time": LONG_S, "run_time_max": LONG_S}
        request_json(upstream, ("PATCH", "/simulator/switches", json.dumps(endless)))
        loads = [
            LoadProcess.start(
                Load(one.url, [submit_as_saved(VIDEO)], connections=8, count=tasks // INSTANCES)
            )
            for one in instances
        ]
        for load in loads:
            load.outcome()
        ids = [task["id"] for task in request_json(instances[0], ("GET", "/tasks?limit=200", None))["tasks"]]
        time.sleep(LONGEST_WAIT_S)
        reads = LoadProcess.start(
            Load(
                instances[0].url,
                task_reads(ids),
                connections=8,
                seconds=scale.polling_s,
                rate=READS_PER_S,
            )
        )
        began, cpu_s = time.time(), [one.cpu_s for one in instances]
        outcome = reads.outcome()
        ended = time.time()
        shares = [
            (one.cpu_s - before) / (ended - began) for one, before in zip(instances, cpu_s, strict=True)
        ]
        rss_mb = max(one.rss_mb for one in instances)
        polled = [
            [at for at in task["polled_at"] if at > began - LONGEST_WAIT_S]
            for task in request_json(upstream, ("GET", "/bench/tasks", None))
        ]
    return InFlight(
        tasks=len(polled),
        polls_per_s=sum(at > began for times in polled for at in times) / (ended - began),
        gaps_s=[after - before for times in polled for before, after in pairwise(times)],
        cpu_shares=shares,
        rss_mb=rss_mb,
        read_p99_ms=outcome.percentile_ms(99),
    )


def _findings(rounds: Rounds, scale: Scale, delays_ms: list[float], in_flight: InFlight) -> Findings:
    delays, gaps = quantiles(delays_ms, n=100), quantiles(in_flight.gaps_s, n=1000)
    name = f"{in_flight.tasks:,} in flight on three instances"
    what = ("reads", "submits", "polls")
    three = rounds.ratio("three instances", to="one instance")
    return Findings(
        title="Several instances on PostgreSQL",
        method=f"One instance on SQLite and one on PostgreSQL, in turn: `GET /tasks/{{id}}` and"
        f" `POST /submit_task`, {AT_ONCE} at once, and {POLLED:,} tasks that are polled as fast as the"
        " service can. Then three instances on one database: the same number of submits to one and to all"
        " three; a stream on one instance while another cancels the task, from its response to the event; and"
        f" {in_flight.tasks:,} tasks that were submitted to all three and run on, on default settings, with"
        f" {READS_PER_S} reads a second. PostgreSQL has its settings as installed and runs on the same"
        " machine, as do the upstream and the load: with free cores three instances do more.",
        goals=[
            Goal.at_most("a change on another instance's stream, p95", delays[94], GOAL_DELAY_MS, "ms"),
            Goal.at_least("submits of three instances against one", three, GOAL_THREE),
            Goal.at_most(
                f"latest poll, {name}", max(in_flight.gaps_s) / LONGEST_WAIT_S, LATE, "times the longest wait"
            ),
            Goal.at_most(f"read p99, {name}", in_flight.read_p99_ms, READ_P99_MS, "ms"),
        ],
        tables=[
            Table(
                ["one instance", *ENGINES, "PostgreSQL against SQLite", "CPU: SQLite", "PostgreSQL"],
                [_engines_row(rounds, each) for each in what],
            ),
            Table(
                ["submits a second", "one instance", "three instances", "ratio"],
                [
                    [
                        f"{AT_ONCE} at once",
                        f"{rounds.median('one instance'):,.0f}",
                        f"{rounds.median('three instances'):,.0f}",
                        f"{three:.2f}",
                    ]
                ],
            ),
            Table(
                ["a change on another instance's stream", "p50", "p95", "latest"],
                [
                    [
                        f"{len(delays_ms)} changes",
                        f"{delays[49]:.0f} ms",
                        f"{delays[94]:.0f} ms",
                        f"{max(delays_ms):.0f} ms",
                    ]
                ],
            ),
            Table(
                [
                    "in flight",
                    "polls a second",
                    "between two polls: half, 99 %, all within",
                    "read p99",
                    "processor of each",
                    "resident",
                ],
                [
                    [
                        f"{in_flight.tasks:,}",
                        f"{in_flight.polls_per_s:.0f}",
                        f"{gaps[499]:.1f}, {gaps[989]:.1f}, {max(in_flight.gaps_s):.1f} s",
                        f"{in_flight.read_p99_ms:.0f} ms",
                        ", ".join(f"{share:.0%}" for share in in_flight.cpu_shares),
                        f"{in_flight.rss_mb:.0f} MB",
                    ]
                ],
            ),
        ],
        plot=plots.bars(
            "cluster",
            "One instance on each engine",
            "a second",
            {each: {engine: rounds.median(f"{each}, {engine}") for engine in ENGINES} for each in what},
            is_log=True,
        ),
    )


def _engines_row(rounds: Rounds, what: str) -> list[str]:
    sqlite, postgresql = (f"{what}, {engine}" for engine in ENGINES)
    return [
        f"{what} a second",
        f"{rounds.median(sqlite):,.0f}",
        f"{rounds.median(postgresql):,.0f}",
        f"{rounds.ratio(postgresql, to=sqlite):.2f}",
        f"{rounds.median(f'{sqlite} CPU'):,.0f} µs",
        f"{rounds.median(f'{postgresql} CPU'):,.0f} µs",
    ]


@contextmanager
def _instances(url: str, **settings: str) -> Iterator[tuple[Server, list[Server]]]:
    """An upstream, and three instances on one database."""
    with ExitStack() as stack:
        upstream = stack.enter_context(servers.simulator(slots=0, queue_time=0, run_time=LONG_S))
        yield (
            upstream,
            [stack.enter_context(_service(upstream, url, **settings)) for _ in range(INSTANCES)],
        )


@contextmanager
def _service(upstream: Server, url: str, **settings: str) -> Iterator[Server]:
    with servers.service(upstream, Path("unused"), database_url=url, **SHARED | settings) as service:
        yield service
