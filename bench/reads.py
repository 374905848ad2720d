"""Reads: one task by its id with a million rows in the table, idle and under way, and pages of the list."""

import random
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, rows, servers
from bench.calls import run_load_on, submit_load, task_reads
from bench.load import Load, run_load
from bench.report import Findings, Goal, Rounds, Scale, Table
from bench.servers import Server

AT_ONCE = 32
IN_FLIGHT = 200
IDS = 5_000
LONG_S = 3_600


def measure(scale: Scale) -> Findings:
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        database, plain_database = Path(directory, "tasks.db"), Path(directory, "plain.db")
        rows.create_finished(database, scale.rows)
        rows.copy_to_plain(database, plain_database)
        upstream = stack.enter_context(servers.simulator(slots=0, queue_time=0, run_time=LONG_S))
        service = stack.enter_context(servers.service(upstream, database))
        bare = stack.enter_context(servers.floor(upstream))
        plain = stack.enter_context(servers.plain(upstream, plain_database))
        idle = {"service": service, "bare": bare, "plain": plain}
        rounds.measure(
            scale.rounds,
            {name: partial(_reads_per_second, rounds, name, to, scale) for name, to in idle.items()},
        )
        _measure_pages(rounds, scale, service)
        for name, server in {"service, in flight": service, "plain, in flight": plain}.items():
            run_load(submit_load(server.url, connections=8, count=IN_FLIGHT))
            rounds.measure(scale.rounds, {name: partial(_reads_per_second, rounds, name, server, scale)})
        rss_mb = service.rss_mb
    return _findings(rounds, scale, rss_mb)


def _measure_pages(rounds: Rounds, scale: Scale, service: Server) -> None:
    def pages_per_second(path: str) -> float:
        load = Load(service.url, [("GET", path, None)], connections=4, seconds=scale.seconds / 2)
        return run_load(load).per_second

    rounds.measure(
        scale.rounds,
        {
            "first page": lambda: pages_per_second("/tasks"),
            "last page": lambda: pages_per_second("/tasks?cursor=51"),
        },
    )


def _reads_per_second(rounds: Rounds, name: str, server: Server, scale: Scale) -> float:
    numbers = random.Random(1).choices(range(1, scale.rows + 1), k=IDS)
    ids = [rows.finished_id(number) for number in numbers]
    load = Load(server.url, task_reads(ids), connections=AT_ONCE, seconds=scale.seconds)
    outcome, cpu_us = run_load_on(server, load)
    rounds.note(f"{name} CPU", cpu_us)
    return outcome.per_second


def _findings(rounds: Rounds, scale: Scale, rss_mb: float) -> Findings:
    kinds = ("service", "plain", "bare")
    busy_ratio = rounds.ratio("service, in flight", to="plain, in flight")
    return Findings(
        title="Reads",
        method=f"`GET /tasks/{{id}}` of random tasks, {AT_ONCE} at once, {scale.rows:,} rows in the table;"
        f" then the same while {IN_FLIGHT} tasks run (each version polls its own); pages of 50 tasks,"
        f" 4 at once. The service held {rss_mb:.0f} MB after it.",
        goals=[
            Goal.at_least("reads against plain, idle", rounds.ratio("service", to="plain"), 3),
            Goal.at_least("reads against plain, 200 tasks in flight", busy_ratio, 10),
            Goal.at_least("reads against a bare route", rounds.ratio("service", to="bare"), 0.55),
        ],
        tables=[
            Table(
                ["reads a second", *kinds],
                [
                    ["idle", *(f"{rounds.median(name):,.0f}" for name in kinds)],
                    [
                        f"{IN_FLIGHT} tasks in flight",
                        f"{rounds.median('service, in flight'):,.0f}",
                        f"{rounds.median('plain, in flight'):,.0f}",
                        "",
                    ],
                    [
                        "processor time for a read, idle",
                        *(f"{rounds.median(f'{name} CPU'):,.0f} µs" for name in kinds),
                    ],
                ],
            ),
            Table(
                ["pages a second", "service"],
                [
                    ["first page", f"{rounds.median('first page'):,.0f}"],
                    [f"page at row {scale.rows:,}", f"{rounds.median('last page'):,.0f}"],
                ],
            ),
        ],
        plot=plots.bars(
            "reads",
            f"GET /tasks/{{id}}, {AT_ONCE} at once, {scale.rows:,} rows",
            "reads a second",
            {
                "idle": {name: rounds.median(name) for name in kinds},
                f"{IN_FLIGHT} tasks in flight": {
                    "service": rounds.median("service, in flight"),
                    "plain": rounds.median("plain, in flight"),
                },
            },
        ),
    )
