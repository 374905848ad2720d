"""Paid submits and reads while others hold the service up, against a service that is left alone."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import psutil

from bench import plots, servers
from bench.calls import all_tasks, request_json, submit, task_reads
from bench.load import Load, LoadProcess
from bench.report import Findings, Goal, Rounds, Scale, Table
from bench.servers import ROOT, Server

RUN_LATENCY_S = 0.3
UPLOADS, POLLS, WEBHOOKS = 256, 300, 30
SUBMITS_PER_S, READS_PER_S = 10, 50
PHASE_S = 10.0
# Until all attackers are at work again, whose connections were kept meanwhile.
RESUME_S = 3.0
START_S = 10.0
TIMES = 2.0
MEMORY_MB = 200
CALLS = ("submit", "read")


def measure(scale: Scale) -> Findings:
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        services = {}
        for name in ("idle", "attacked"):
            upstream = stack.enter_context(
                servers.simulator(slots=0, queue_time=0, run_time=3600, run_latency=RUN_LATENCY_S)
            )
            services[name] = stack.enter_context(servers.service(upstream, Path(directory, f"{name}.db")))
            request_json(services[name], submit())
        _let_polls_hang(upstream)
        attackers = stack.enter_context(_attackers(services["attacked"]))
        time.sleep(START_S)
        for _ in range(scale.rounds):
            attackers.suspend()
            _measure(rounds, "idle", services["idle"], PHASE_S)
            attackers.resume()
            time.sleep(RESUME_S)
            with (
                _cpu_share(rounds, "service", services["attacked"].process),
                _cpu_share(rounds, "attackers", attackers),
            ):
                _measure(rounds, "attacked", services["attacked"], PHASE_S)
    return _findings(rounds)


def _let_polls_hang(upstream: Server) -> None:
    body = json.dumps({"faults": {"outputs": {"kind": "hang"}}}).encode()
    request = Request(f"{upstream.url}/simulator/switches", data=body, method="PATCH")  # noqa: S310
    request.add_header("Content-Type", "application/json")
    with urlopen(request, timeout=30):  # noqa: S310 - our own http address
        pass


@contextmanager
def _attackers(service: Server) -> Iterator[psutil.Process]:
    """In a process of their own, as in the tests."""
    counts = {"uploads": UPLOADS, "polls": POLLS, "webhooks": WEBHOOKS}
    arguments = [part for name, count in counts.items() for part in (f"--{name}", str(count))]
    command = [sys.executable, "-m", "tests.attack.attackers", service.url, *arguments]
    process = subprocess.Popen(command, cwd=ROOT)  # noqa: S603
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


@contextmanager
def _cpu_share(rounds: Rounds, name: str, process: psutil.Process) -> Iterator[None]:
    """Of one core, in per cent."""
    before, began = process.cpu_times(), time.perf_counter()
    yield
    used = process.cpu_times()
    cpu_s = used.user + used.system - before.user - before.system
    rounds.note(f"{name} cpu", cpu_s / (time.perf_counter() - began) * 100)


def _measure(rounds: Rounds, name: str, service: Server, seconds: float) -> None:
    ids = [task["id"] for task in all_tasks(service)][:1]
    loads = {
        "submit": Load(service.url, [submit()], connections=10, seconds=seconds, rate=SUBMITS_PER_S),
        "read": Load(service.url, task_reads(ids), connections=5, seconds=seconds, rate=READS_PER_S),
    }
    running = {call: LoadProcess.start(load) for call, load in loads.items()}
    for call, process in running.items():
        outcome = process.outcome()
        if outcome.errors:
            raise RuntimeError(f"{call}, {name}: {outcome.statuses}")
        for percent in (50, 95):
            rounds.note(f"{call} {name} p{percent}", outcome.percentile_ms(percent))
    rounds.note(f"{name} rss", service.rss_mb)


def _findings(rounds: Rounds) -> Findings:
    p95 = {call: rounds.ratio(f"{call} attacked p95", f"{call} idle p95") for call in CALLS}
    memory_mb = max(rounds.by_name["attacked rss"])
    shown = [(call, name) for call in CALLS for name in ("idle", "attacked")]
    return Findings(
        title="Under attack",
        method=f"{UPLOADS} uploads of 2 kB a second each (a refused one is tried again every second),"
        f" {POLLS} polls of a RunningHub that does not respond, and {WEBHOOKS} senders that post 4 MB with a"
        f" wrong signature, 4 times a second each, all from one machine; at the same time {SUBMITS_PER_S}"
        f" submits and {READS_PER_S} reads a second. Phases of {PHASE_S:g} s in turn: a service that is left"
        " alone while the attackers are suspended, and the attacked one. RunningHub responds to a run after"
        f" {RUN_LATENCY_S:g} s. Of one core, the attackers use {rounds.median('attackers cpu'):.0f} % and the"
        f" attacked service {rounds.median('service cpu'):.0f} %.",
        goals=[
            *(Goal.at_most(f"{call} under attack, p95", p95[call], TIMES, "times") for call in CALLS),
            Goal.at_most("memory under attack", memory_mb, MEMORY_MB, "MB"),
        ],
        tables=[
            Table(
                ["", "p50", "p95"],
                [
                    [f"{call}, {name}"]
                    + [f"{rounds.median(f'{call} {name} p{percent}'):.1f} ms" for percent in (50, 95)]
                    for call, name in shown
                ],
            )
        ],
        plot=plots.bars(
            "attack",
            "Under attack, p95",
            "ms",
            {
                call: {name: rounds.median(f"{call} {name} p95") for name in ("idle", "attacked")}
                for call in CALLS
            },
        ),
    )
