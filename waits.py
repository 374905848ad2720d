"""How long to wait before RunningHub is asked about a task again: pure functions of what is known."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

# Shares of a task's age, so that a finish is seen within that share of the run time.
STEP_WHERE_LIKELY = 0.085
STEP_ELSEWHERE = 0.2
# Far from a likely finish, looks only serve to see an early failure: they may lie further and further apart.
STEP_BEFORE = 2.0
# How far around earlier run times a finish counts as likely.
MARGIN = 0.05
# Where a finish is likely, waits may be this part of the first wait.
SHORTEST = 1 / 8
# The watch cannot keep up when looks are later than this; it stretches waits up to the other.
TOLERATED_LATE_S = 0.5
MOST_STRETCHED_S = 60.0


def expected_seconds(run_times: Sequence[float]) -> int | None:
    """The usual run time of an app from its latest ones; None without any."""
    return max(1, round(median(run_times))) if run_times else None


@dataclass(slots=True)
class Pace:
    """How far the watch is stretched: while it cannot keep up, all waits get longer than they would be."""

    least_wait_s: float = 0.0

    def adapt(self, late_s: float) -> None:
        """Told now and then how late the oldest due look is."""
        if late_s > TOLERATED_LATE_S:
            self.least_wait_s = min(MOST_STRETCHED_S, max(TOLERATED_LATE_S, self.least_wait_s * 1.5))
        else:
            self.least_wait_s = self.least_wait_s * 0.8 if self.least_wait_s > 0.1 else 0.0


def next_wait_s(
    age_s: float, run_times: Sequence[float], *, first_s: float, longest_s: float, least_s: float = 0.0
) -> float:
    """Seconds until the next look at a task that runs for `age_s` already.

    Waits grow with age from `first_s` to `longest_s`; looks cluster where the app's earlier `run_times`
    (seconds) make a finish likely. `least_s` is the watch's pace.
    """
    wait_s = min(longest_s, _wait_s(age_s, sorted(run_times), first_s))
    return min(max(wait_s, least_s) * random.uniform(0.95, 1.05), max(longest_s, least_s))


def _wait_s(age_s: float, run_times: Sequence[float], first_s: float) -> float:
    steady = max(first_s, age_s * STEP_ELSEWHERE)
    if not run_times:
        return steady
    outliers = len(run_times) // 20
    likely_from = run_times[outliers] * (1 - MARGIN)
    likely_until = run_times[-1 - outliers] * (1 + MARGIN)
    if age_s > likely_until:
        return steady
    if age_s < likely_from:
        return max(first_s * SHORTEST, min(likely_from - age_s, max(first_s, age_s * STEP_BEFORE)))
    return max(first_s * SHORTEST, age_s * STEP_WHERE_LIKELY)
