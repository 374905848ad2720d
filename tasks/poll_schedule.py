"""How long to wait before RunningHub is asked about a task again: pure functions of what is known."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

# Shares of a task's age, so that a finish is seen within that share of the run time.
STEP_WHERE_LIKELY = 0.095
STEP_ELSEWHERE = 0.2
# Far from a likely finish, looks only serve to see an early failure: they may lie further and further apart.
STEP_BEFORE = 2.0
# How far around earlier run times a finish counts as likely.
MARGIN = 0.05
# Where a finish is likely, waits may be this part of the first wait.
SHORTEST = 1 / 8
MOST_STRETCHED_S = 60.0
MOST_STRETCH = 64.0
# Looks where no finish is likely are stretched by so much before the others are.
STRETCH_OF_THE_UNLIKELY = 4.0


def expected_seconds(run_times: Sequence[float]) -> int | None:
    """The usual run time of an app from its latest ones; None without any."""
    return max(1, round(median(run_times))) if run_times else None


@dataclass(slots=True)
class Pace:
    """How far the watch is stretched: while it cannot keep up, waits are longer than they would be."""

    stretch: float = 1.0

    def adapt(self, late_s: float) -> None:
        """Told now and then by how much a look has missed twice its wait; negative: none has."""
        if late_s > 0:
            self.stretch = min(MOST_STRETCH, self.stretch * 1.1)
        else:
            self.stretch = max(1.0, self.stretch * 0.93)


def next_wait_s(
    age_s: float, run_times: Sequence[float], *, first_s: float, longest_s: float, stretch: float = 1.0
) -> float:
    """Seconds until the next look at a task that runs for `age_s` already.

    Waits grow with age from `first_s` to `longest_s`; looks cluster where the app's earlier `run_times`
    (seconds) make a finish likely. `stretch` is the watch's pace; only it lets waits exceed `longest_s`.
    """
    likely_from, likely_until = _likely_between(sorted(run_times)) if run_times else (0.0, -1.0)
    likely_stretch = max(1.0, stretch / STRETCH_OF_THE_UNLIKELY)
    shortest_s = first_s * SHORTEST * likely_stretch
    if likely_from <= age_s <= likely_until:
        wait_s = max(shortest_s, age_s * STEP_WHERE_LIKELY * likely_stretch)
    elif age_s < likely_from:
        wait_s = max(first_s, age_s * STEP_BEFORE) * stretch
        wait_s = max(shortest_s, min(wait_s, likely_from - age_s))
    else:
        wait_s = max(first_s, age_s * STEP_ELSEWHERE) * stretch
    longest_s = max(longest_s, min(MOST_STRETCHED_S, longest_s * stretch))
    return min(wait_s * random.uniform(0.95, 1.05), longest_s)


def _likely_between(run_times: Sequence[float]) -> tuple[float, float]:
    """The ages between which a finish is likely; single outliers among many do not count."""
    outliers = len(run_times) // 20
    return run_times[outliers] * (1 - MARGIN), run_times[-1 - outliers] * (1 + MARGIN)
