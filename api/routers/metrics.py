"""GET /metrics: what Prometheus collects, for all workers together."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from fastapi import Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from api.dependencies import OperatorOnly, ServicesDep, new_router
from api.openapi import SERVICE, problem_responses
from config import VERSION
from db.metric_rows import Gauges
from errors import DatabaseUnavailable, Forbidden
from metrics import COUNTERS, HISTOGRAMS, INFINITY, SUM, TOTAL, Counter, Histogram, Labels, Samples
from models import AccountState, TaskStatus
from services import Services
from tasks.submit_limiter import AccountLimits, known_limit

PREFIX = "runninghub_gateway_"

router = new_router(SERVICE)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses=problem_responses(Forbidden, DatabaseUnavailable)
    | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text"}},
    dependencies=[OperatorOnly],
)
async def get_metrics(services: ServicesDep) -> Response:
    samples, gauges = await services.metrics_recorder.read()
    await services.monitor.refresh()
    families = [*_gauges(gauges, services.database.clock()), *_accounts(services, gauges), *_samples(samples)]
    return Response(generate_latest(_Families(families)), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Families:
    """What `generate_latest` takes: all metrics of one scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _gauges(gauges: Gauges, now_ms: int) -> Iterator[Metric]:
    info = GaugeMetricFamily(PREFIX + "info", "Always 1; the version that runs", labels=["version"])
    info.add_metric([VERSION], 1)
    yield info
    tasks = GaugeMetricFamily(PREFIX + "tasks", "Tasks by status", labels=["status"])
    for status in TaskStatus:
        tasks.add_metric([status], gauges.tasks.get(status, 0))
    yield tasks
    waiting_s = 0.0
    if gauges.oldest_waiting_at is not None:
        waiting_s = now_ms / 1000 - datetime.fromisoformat(gauges.oldest_waiting_at).timestamp()
    yield _gauge("oldest_waiting_seconds", "Since when the oldest PENDING task waits", max(0.0, waiting_s))
    unknown = gauges.tasks.get(TaskStatus.SUBMIT_UNKNOWN, 0)
    yield _gauge("unknown_submits", "Tasks that are SUBMIT_UNKNOWN until somebody settles them", unknown)
    lag_ms = 0 if gauges.poll_deadline_ms is None else max(0, now_ms - gauges.poll_deadline_ms)
    yield _gauge("poll_lag_seconds", "By how much the latest poll has missed twice its delay", lag_ms / 1000)
    yield _gauge("webhooks_pending", "Outgoing webhooks that are still to be sent", gauges.deliveries)
    yield _gauge("outputs_pending", "Results that are still to be copied", gauges.outputs)
    yield _gauge("open_streams", "Event streams that are open, of all workers", gauges.streams)


def _accounts(services: Services, gauges: Gauges) -> Iterator[Metric]:
    labels = ["account"]
    running = GaugeMetricFamily(PREFIX + "account_tasks", "Tasks at RunningHub, by account", labels=labels)
    slots = GaugeMetricFamily(
        PREFIX + "account_slots", "How many tasks an account may run, where that is known", labels=labels
    )
    states = GaugeMetricFamily(
        PREFIX + "account_state", "1 for the state that the account has now", labels=["account", "state"]
    )
    for account in services.accounts.all:
        row = services.monitor.view.account(account.name)
        limit = known_limit(AccountLimits(account.name, account.base_url, "", account.max_concurrent), row)
        running.add_metric([account.name], gauges.running.get(account.name, 0))
        if limit:
            slots.add_metric([account.name], limit)
        now = services.monitor.state_of(account)
        for state in AccountState:
            states.add_metric([account.name, state], int(state is now))
    yield from (running, slots, states)


def _samples(samples: Samples) -> Iterator[Metric]:
    by_name: dict[str, dict[Labels, dict[str, float]]] = {}
    for (name, labels, part), value in samples.items():
        by_name.setdefault(name, {}).setdefault(labels, {})[part] = value
    for counter in COUNTERS:
        yield _counter(counter, by_name.get(counter.name, {}))
    for histogram in HISTOGRAMS:
        yield _histogram(histogram, by_name.get(histogram.name, {}))


def _counter(counter: Counter, values: dict[Labels, dict[str, float]]) -> Metric:
    family = CounterMetricFamily(PREFIX + counter.name, counter.help, labels=counter.labels)
    shown: list[Labels] = [(value,) for value in counter.known] if counter.labels else [()]
    values = {labels: {TOTAL: 0.0} for labels in shown} | values
    for labels, parts in sorted(values.items()):
        family.add_metric(labels, parts[TOTAL])
    return family


def _histogram(histogram: Histogram, values: dict[Labels, dict[str, float]]) -> Metric:
    family = HistogramMetricFamily(PREFIX + histogram.name, histogram.help, labels=histogram.labels)
    if not histogram.labels:
        values = {(): {SUM: 0.0}} | values
    for labels, parts in sorted(values.items()):
        buckets, count = [], 0.0
        for bound in (*(f"{each:g}" for each in histogram.buckets), INFINITY):
            count += parts.get(bound, 0.0)
            buckets.append((bound, count))
        family.add_metric(labels, buckets=buckets, sum_value=parts[SUM])
    return family
