"""What is counted and timed: the definitions, and what this process has recorded and not stored yet.

Nothing here knows Prometheus. The numbers of all workers are added up in the database (`db.metric_rows`), so
that any worker can show them all and a restart does not begin at zero.
"""

from bisect import bisect_left
from dataclasses import dataclass

Labels = tuple[str, ...]
Samples = dict[tuple[str, Labels, str], float]
"""By name, labels, and part: the upper bound of a histogram's bucket, `SUM`, or `TOTAL` of a counter."""

TOTAL, SUM, INFINITY = "total", "sum", "+Inf"
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Counter:
    """`name` is without the prefix of all metrics. `max_values`: how many values its first label may have.

    `known`: values of its label that are shown as 0 too, so that the first count is seen as a rise.
    """

    name: str
    help: str
    labels: Labels = ()
    max_values: int | None = None
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Histogram:
    """Of seconds. `buckets` are upper bounds in rising order; the last one, infinity, is not listed."""

    name: str
    help: str
    buckets: tuple[float, ...]
    labels: Labels = ()


UPSTREAM = Histogram(
    "upstream_call_seconds",
    "Calls to RunningHub until its response was read, by call and by RunningHub's code",
    (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    ("call", "code"),
)
WAITING = Histogram(
    "task_waiting_seconds",
    "From a task's submit here until RunningHub accepted it",
    (0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600, 14_400),
)
RUN = Histogram(
    "task_run_seconds",
    "How long successful tasks ran, as RunningHub reports it",
    (1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1800),
)
DETECTION = Histogram(
    "completion_detection_seconds",
    "From a task's end at RunningHub, estimated from its reported run time, until it was known here",
    (0.25, 0.5, 1, 2, 4, 8, 15, 30, 60),
)
DATABASE_WRITE = Histogram(
    "database_write_seconds",
    "Transactions, each of one or more writes that were committed together",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
ENDED = Counter(
    "tasks_ended_total",
    "Tasks that reached a final status",
    ("status",),
    known=("SUCCESS", "FAILED", "CANCELLED"),
)
UNKNOWN_SUBMITS = Counter("submits_unknown_total", "Paid calls whose outcome became unknown")
ATTEMPTS = ("delivered", "to_be_retried", "failed")
COPIES = ("kept", "too_large", "lost")
COINS = Counter("coins_total", "RunningHub coins that successful tasks cost", ("app",), max_values=100)
DELIVERIES = Counter(
    "webhook_attempts_total", "Attempts to send an outgoing webhook", ("outcome",), known=ATTEMPTS
)
OUTPUTS = Counter("outputs_total", "Results whose copy has ended", ("outcome",), known=COPIES)

COUNTERS = (ENDED, UNKNOWN_SUBMITS, COINS, DELIVERIES, OUTPUTS)
HISTOGRAMS = (UPSTREAM, WAITING, RUN, DETECTION, DATABASE_WRITE)
MAX_VALUES = {counter.name: counter.max_values for counter in COUNTERS if counter.max_values}


class Metrics:
    """What this process has recorded since it was last taken; recording takes a microsecond."""

    def __init__(self) -> None:
        self._samples: Samples = {}

    def count(self, counter: Counter, *labels: str, by: float = 1.0) -> None:
        """Add to a counter; `labels` in the order of its definition."""
        self._add((counter.name, labels, TOTAL), by)

    def observe(self, histogram: Histogram, seconds: float, *labels: str) -> None:
        """Add one value to a histogram; below zero is zero."""
        seconds = max(0.0, seconds)
        place = bisect_left(histogram.buckets, seconds)
        bound = f"{histogram.buckets[place]:g}" if place < len(histogram.buckets) else INFINITY
        self._add((histogram.name, labels, bound), 1.0)
        self._add((histogram.name, labels, SUM), seconds)

    def _add(self, key: tuple[str, Labels, str], value: float) -> None:
        self._samples[key] = self._samples.get(key, 0.0) + value

    @property
    def is_worth_storing(self) -> bool:
        """Whether anything was recorded but the one transaction that stored the samples before."""
        if any(name != DATABASE_WRITE.name for name, _, _ in self._samples):
            return True
        return sum(value for (_, _, part), value in self._samples.items() if part != SUM) > 1

    def take(self) -> Samples:
        """Everything recorded so far; recording starts anew."""
        samples, self._samples = self._samples, {}
        return samples

    def put_back(self, samples: Samples) -> None:
        """What was taken and could not be stored."""
        for key, value in samples.items():
            self._add(key, value)
