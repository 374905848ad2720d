"""Submits: paid calls at 1, 32 and 256 at once, with the row on disk before each."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import plots, servers
from bench.calls import run_load_on, submit_load
from bench.load import Outcome, run_load
from bench.report import Findings, Goal, Rounds, Scale, Table
from bench.servers import Server

# How many submits make a round, and how many rounds there are, by the number at once.
COUNTS = {1: 60, 32: 256, 256: 256}
# A round of the plain version ends after that time at the latest.
LONGEST_S = 5.0
ROUNDS = {1: 2, 32: 3, 256: 1}
LONG_S = 3_600
# The same with tasks in flight, each version polls its own; a round for each, the plain one starts anew.
IN_FLIGHT, IN_FLIGHT_AT_ONCE, IN_FLIGHT_ROUNDS = 200, 32, 3
# So many that the service's window of paid calls under way is as wide as it gets.
WARM_UP = 600
PLAIN_WARM_UP = 4
# Polling is measured on its own; here no poll falls into the rounds. The plain version starts anew for each.
SETTINGS = {"poll_interval_s": "120", "poll_interval_max_s": "120"}


class Errors:
    """Answers other than 202, by what was measured."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}

    def add(self, name: str, outcome: Outcome) -> None:
        errors, responses = self._counts.get(name, (0, 0))
        self._counts[name] = (errors + outcome.errors, responses + outcome.responses)

    def count(self, name: str) -> int:
        return self._counts[name][0]

    def text(self, name: str) -> str:
        errors, responses = self._counts[name]
        return f"{errors} of {responses}"


def measure(scale: Scale) -> Findings:
    rounds, errors = Rounds(), Errors()
    for at_once in COUNTS:
        _measure_at_once(at_once, scale, rounds, errors)
    _measure_in_flight(scale, rounds, errors)
    return _findings(rounds, errors)


def _measure_at_once(at_once: int, scale: Scale, rounds: Rounds, errors: Errors) -> None:
    count = max(at_once, COUNTS[at_once] // (4 if scale.is_quick else 1))
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(servers.simulator(slots=0, queue_time=LONG_S, run_time=LONG_S))
        database, plain_database = Path(directory, "tasks.db"), Path(directory, "plain.db")
        service = stack.enter_context(servers.service(upstream, database, **SETTINGS))
        relay = stack.enter_context(servers.floor(upstream))
        for server in (service, relay):
            run_load(submit_load(server.url, connections=max(8, at_once), count=WARM_UP))

        def per_second(name: str, server: Server) -> float:
            load = submit_load(server.url, connections=at_once, count=count, seconds=LONGEST_S)
            outcome, cpu_us = run_load_on(server, load)
            rounds.note(f"{name} {at_once} CPU", cpu_us)
            errors.add(f"{name} {at_once}", outcome)
            return outcome.per_second

        def plain_per_second() -> float:
            plain_database.unlink(missing_ok=True)
            with servers.plain(upstream, plain_database) as plain:
                run_load(submit_load(plain.url, connections=1, count=PLAIN_WARM_UP))
                return per_second("plain", plain)

        rounds.measure(
            1 if scale.is_quick else ROUNDS[at_once],
            {
                f"service {at_once}": lambda: per_second("service", service),
                f"relay only {at_once}": lambda: per_second("relay only", relay),
                f"plain {at_once}": plain_per_second,
            },
        )


def _measure_in_flight(scale: Scale, rounds: Rounds, errors: Errors) -> None:
    count = COUNTS[IN_FLIGHT_AT_ONCE]

    def per_second(name: str, server: Server) -> float:
        run_load(submit_load(server.url, connections=8, count=IN_FLIGHT))
        load = submit_load(server.url, connections=IN_FLIGHT_AT_ONCE, count=count, seconds=LONGEST_S)
        outcome = run_load(load)
        errors.add(name, outcome)
        return outcome.per_second

    for _ in range(1 if scale.is_quick else IN_FLIGHT_ROUNDS):
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            upstream = stack.enter_context(servers.simulator(slots=0, queue_time=0, run_time=LONG_S))
            service = stack.enter_context(servers.service(upstream, Path(directory, "tasks.db")))
            plain = stack.enter_context(servers.plain(upstream, Path(directory, "plain.db")))
            rounds.note("service in flight", per_second("service in flight", service))
            rounds.note("plain in flight", per_second("plain in flight", plain))


def _findings(rounds: Rounds, errors: Errors) -> Findings:
    kinds = ("service", "plain", "relay only")
    return Findings(
        title="Submits",
        method="`POST /submit_task` at 1, 32 and 256 at once, the same number for each version, or as many as"
        f" go in {LONGEST_S:g} s; RunningHub has free slots for all. The service has the form in memory and"
        f" {WARM_UP} submits behind it, and `POLL_INTERVAL_S=120`, so that no poll of earlier tasks"
        " falls into a round. The plain version starts anew for each round; its own pollers begin five"
        f" seconds later. The last row is measured on default settings, just after {IN_FLIGHT} submits whose"
        " tasks run on.",
        goals=[
            Goal.at_least("submits against plain, 32 at once", rounds.ratio("service 32", to="plain 32"), 30),
            Goal.at_least(
                f"submits against plain, {IN_FLIGHT_AT_ONCE} at once, {IN_FLIGHT} tasks in flight",
                rounds.ratio("service in flight", to="plain in flight"),
                30,
            ),
            Goal.at_least(
                "submits against a route that only relays, 32 at once",
                rounds.ratio("service 32", to="relay only 32"),
                0.5,
            ),
            Goal.at_most("errors of submits, 256 at once", errors.count("service 256"), 0, "errors"),
        ],
        tables=[
            Table(
                ["submits a second", *kinds, "errors: service", "plain"],
                [
                    [
                        f"{at_once} at once",
                        *(f"{rounds.median(f'{kind} {at_once}'):,.0f}" for kind in kinds),
                        errors.text(f"service {at_once}"),
                        errors.text(f"plain {at_once}"),
                    ]
                    for at_once in COUNTS
                ]
                + [
                    [
                        f"{IN_FLIGHT_AT_ONCE} at once, {IN_FLIGHT} tasks in flight",
                        f"{rounds.median('service in flight'):,.0f}",
                        f"{rounds.median('plain in flight'):,.0f}",
                        "",
                        errors.text("service in flight"),
                        errors.text("plain in flight"),
                    ]
                ],
            ),
            Table(
                ["processor time for a submit", *kinds],
                [
                    [
                        f"{at_once} at once",
                        *(f"{rounds.median(f'{kind} {at_once} CPU') / 1000:.1f} ms" for kind in kinds),
                    ]
                    for at_once in COUNTS
                ],
            ),
        ],
        plot=plots.bars(
            "submits",
            "POST /submit_task",
            "submits a second (log)",
            {
                f"{at_once} at once": {kind: rounds.median(f"{kind} {at_once}") for kind in kinds}
                for at_once in COUNTS
            },
            is_log=True,
        ),
    )
