"""Outgoing webhooks from a task's finish to the receiver, and what metrics cost."""

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median, quantiles
from urllib.request import urlopen

from bench import plots, rows, servers
from bench.calls import request_json, submit, task_reads
from bench.load import Load, run_load
from bench.report import Findings, Goal, Rounds, Scale, Table

TASKS, QUICK_TASKS = 200, 60
TASKS_PER_S = 40
RUN_S, RUN_MAX_S = 3.0, 6.0
SETTLE_S = 2.0
SCRAPES = 20
SCRAPE_EVERY_S = 1.0
AT_ONCE = 32
SIGNED_WITH = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
WANTED_S, WANTED_SCRAPE_MS, WANTED_READS = 0.3, 50, 0.98


def measure(scale: Scale) -> Findings:
    lags_s = _lags_s(QUICK_TASKS if scale.is_quick else TASKS)
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        database = Path(directory, "tasks.db")
        rows.create_finished(database, scale.rows)
        upstream = stack.enter_context(servers.simulator())
        service = stack.enter_context(servers.service(upstream, database))
        scrapes_ms = [_scrape_ms(service.url) for _ in range(SCRAPES)]
        rounds.measure(
            2 * scale.rounds,
            {
                "reads": lambda: _reads_per_s(service.url, scale),
                "scraped": lambda: _reads_while_scraped(service.url, scale),
            },
        )
    return _findings(lags_s, scrapes_ms, rounds, scale)


@contextmanager
def _receiver() -> Iterator[tuple[str, dict[str, float]]]:
    """Its URL, and when the webhook of each task came, by RunningHub's id."""
    came_at: dict[str, float] = {}

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            came_at.setdefault(event["data"]["runninghub_task_id"], time.time())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", came_at
        server.shutdown()
        thread.join()


def _lags_s(tasks: int) -> list[float]:
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        receiver_url, came_at = stack.enter_context(_receiver())
        upstream = stack.enter_context(
            servers.simulator(slots=0, queue_time=0, run_time=RUN_S, run_time_max=RUN_MAX_S)
        )
        settings = {
            "webhook_url": receiver_url,
            "webhook_secret": SIGNED_WITH,
            "webhook_allow_private": "true",
        }
        service = stack.enter_context(
            servers.public_service(upstream, Path(directory, "tasks.db"), **settings)
        )
        run_load(Load(service.url, [submit()], connections=8, count=tasks, rate=TASKS_PER_S))
        time.sleep(RUN_MAX_S + SETTLE_S)
        runs = request_json(upstream, ("GET", "/simulator/tasks", None))
    return [came_at.get(run["taskId"], float("inf")) - run["finished_at"] for run in runs]


def _scrape_ms(url: str) -> float:
    began = time.perf_counter()
    with urlopen(f"{url}/metrics", timeout=60) as response:  # noqa: S310 - our own http address
        response.read()
    return (time.perf_counter() - began) * 1000


def _reads_per_s(url: str, scale: Scale) -> float:
    ids = [rows.finished_id(number) for number in range(1, 5001)]
    return run_load(Load(url, task_reads(ids), connections=AT_ONCE, seconds=scale.seconds)).per_second


def _reads_while_scraped(url: str, scale: Scale) -> float:
    has_ended = threading.Event()

    def scrape() -> None:
        while not has_ended.wait(SCRAPE_EVERY_S / 2):
            _scrape_ms(url)
            has_ended.wait(SCRAPE_EVERY_S / 2)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        return _reads_per_s(url, scale)
    finally:
        has_ended.set()
        thread.join()


def _findings(lags_s: list[float], scrapes_ms: list[float], rounds: Rounds, scale: Scale) -> Findings:
    percentiles = quantiles(lags_s, n=100)
    ratio = rounds.ratio("scraped", to="reads")
    return Findings(
        title="Outgoing webhooks and metrics",
        method=f"{len(lags_s)} tasks of {RUN_S:g} to {RUN_MAX_S:g} s, {TASKS_PER_S} a second, with its"
        " webhooks: the time from RunningHub's finish until our webhook is at its receiver. Then"
        f" `GET /metrics` with {scale.rows:,} rows in the table, and `GET /tasks/{{id}}`, {AT_ONCE} at once,"
        f" with and without a scrape every {SCRAPE_EVERY_S:g} s.",
        goals=[
            Goal.at_most("95 % of our webhooks received within", percentiles[94], WANTED_S, "s"),
            Goal.at_most(f"a scrape with {scale.rows:,} rows", median(scrapes_ms), WANTED_SCRAPE_MS, "ms"),
            Goal.at_least("reads while metrics are scraped, of those without", ratio, WANTED_READS),
        ],
        tables=[
            Table(
                ["what", "p50", "p95", "most"],
                [
                    ["webhook received", *_in_ms([1000 * each for each in lags_s])],
                    ["scrape", *_in_ms(scrapes_ms)],
                ],
            )
        ],
        plot=plots.distributions(
            "deliveries",
            "Our webhook received after RunningHub's finish",
            "ms",
            {"webhook": [1000 * each for each in lags_s]},
            [1000 * WANTED_S],
        ),
    )


def _in_ms(values: list[float]) -> list[str]:
    return [f"{value:.0f} ms" for value in (median(values), quantiles(values, n=100)[94], max(values))]
