"""When a task is polled next: from its age, its app's earlier run times and the load on the poller."""

import random
from collections.abc import Callable, Sequence
from statistics import median

from config import Settings
from models import Task, TaskStatus
from tasks.run_times import RunTimes

# Shares of a task's age, so that a finish is seen within that share of the run time.
STEP_WHERE_LIKELY = 0.095
STEP_ELSEWHERE = 0.2
# Nothing is known of an app: delays in parts of the first one, then growing with age. The second one is long
# enough for all later ones to be short in proportion: of nine polls each has to count.
SECOND_DELAY = 2.25
LATER_DELAY = 0.65
STEP_LATER = 0.1
SHORTEST_STEP_LATER = 0.16
# So that polls of tasks that began together drift apart.
JITTER = 0.03
# Far from a likely finish, polls only serve to see an early failure: they may lie further and further apart.
STEP_BEFORE = 2.0
# How far around earlier run times a finish counts as likely.
MARGIN = 0.05
# Where a finish is likely, delays may be this part of the first delay.
SHORTEST = 1 / 8
# How long a delay may become, and by which factor it grows, when polling cannot keep up.
SLOWEST_S = 60.0
MAX_SLOWDOWN = 64.0
# Polls where no finish is likely are slowed down by so much before the others are.
SLOWDOWN_OF_THE_UNLIKELY = 4.0


def expected_seconds(run_times: Sequence[float]) -> int | None:
    """The usual run time of an app from its latest ones; None without any."""
    return max(1, round(median(run_times))) if run_times else None


class PollSchedule:
    """When each task is polled. `adapt` is told how far the poller lags behind, and slows all polls down."""

    def __init__(self, run_times: RunTimes, settings: Settings, clock: Callable[[], int]) -> None:
        self.run_times = run_times
        self.slowdown = 1.0
        self._clock = clock
        # With webhooks, polling is only the safety net.
        longest_s = settings.poll_interval_max_s
        self._first_s = longest_s if settings.public_url else settings.poll_interval_s
        self._longest_s = longest_s
        self.after_submit_ms = int(settings.poll_interval_s * 1000)

    @property
    def longest_ms(self) -> int:
        """No delay is longer, however far the poller lags behind."""
        return int(max(self._longest_s, SLOWEST_S) * 1000)

    def adapt(self, lag_s: float) -> None:
        """`lag_s`: by how much a poll has missed twice its delay; negative: none has."""
        if lag_s > 0:
            self.slowdown = min(MAX_SLOWDOWN, self.slowdown * 1.1)
        else:
            self.slowdown = max(1.0, self.slowdown * 0.93)

    async def next_poll_ms(self, task: Task, status: TaskStatus | None = None) -> int:
        """When to poll a task that is now in `status`; its age counts from its start where that was seen."""
        now = self._clock()
        is_running = (status or task.status) is TaskStatus.RUNNING
        began_ms = (task.running_ms if is_running else task.accepted_ms) or now
        delay_s = next_delay_s(
            max(0, now - began_ms) / 1000,
            await self.run_times.settled(task) if is_running else (),
            first_s=self._first_s,
            longest_s=self._longest_s,
            slowdown=self.slowdown,
        )
        return now + int(delay_s * 1000)


def next_delay_s(
    age_s: float, run_times: Sequence[float], *, first_s: float, longest_s: float, slowdown: float = 1.0
) -> float:
    """Seconds until the next poll of a task that has run for `age_s`.

    Delays grow with age from `first_s` to `longest_s`; polls cluster where the app's earlier `run_times`
    (seconds) make a finish likely. Only `slowdown` lets delays exceed `longest_s`.
    """
    longest_s = max(longest_s, min(SLOWEST_S, longest_s * slowdown))
    if not run_times:
        return _jittered(_delay_of_unknown_s(age_s, first_s) * slowdown, longest_s)
    likely_from, likely_until = _likely_between(sorted(run_times))
    likely_slowdown = max(1.0, slowdown / SLOWDOWN_OF_THE_UNLIKELY)
    shortest_s = first_s * SHORTEST * likely_slowdown
    if likely_from <= age_s <= likely_until:
        delay_s = max(shortest_s, age_s * STEP_WHERE_LIKELY * likely_slowdown)
    elif age_s < likely_from:
        delay_s = max(first_s, age_s * STEP_BEFORE) * slowdown
        delay_s = max(shortest_s, min(delay_s, likely_from - age_s))
    else:
        delay_s = max(first_s, age_s * STEP_ELSEWHERE) * slowdown
    return _jittered(delay_s, longest_s)


def _delay_of_unknown_s(age_s: float, first_s: float) -> float:
    """Until a run of 5 to 25 s has ended, it is polled nine times, the later the more often for its age."""
    if age_s < 0.9 * first_s:
        return first_s
    if age_s < (1 + SECOND_DELAY) / 2 * first_s:
        return SECOND_DELAY * first_s
    return max(LATER_DELAY * first_s + STEP_LATER * age_s, SHORTEST_STEP_LATER * age_s)


def _jittered(delay_s: float, longest_s: float) -> float:
    return min(delay_s * random.uniform(1 - JITTER, 1 + JITTER), longest_s)


def _likely_between(run_times: Sequence[float]) -> tuple[float, float]:
    """The ages between which a finish is likely; single outliers among many do not count."""
    outliers = len(run_times) // 20
    return run_times[outliers] * (1 - MARGIN), run_times[-1 - outliers] * (1 + MARGIN)
