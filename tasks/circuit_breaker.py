"""Holds free calls back while RunningHub is broken, and bounds how many are made in a second."""

import math
import random
import time
from dataclasses import dataclass, field

FAILURES = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 20.0


@dataclass(slots=True)
class CircuitBreaker:
    """One for each account. After each pause one call is the trial; `now` is a monotonic clock."""

    failures: int = 0
    pause_s: float = 0.0
    open_until: float = 0.0

    def allows(self, now: float, in_flight: int) -> bool:
        """Whether another call may be started."""
        return now >= self.open_until and (not self.pause_s or in_flight == 0)

    def succeeded(self) -> None:
        self.failures, self.pause_s, self.open_until = 0, 0.0, 0.0

    def failed(self, now: float) -> None:
        self.failures += 1
        if self.failures >= FAILURES and now >= self.open_until:
            self.pause_s = min(LONGEST_PAUSE_S, self.pause_s * 2 or FIRST_PAUSE_S)
            self.open_until = now + self.pause_s * random.uniform(0.8, 1.2)


@dataclass(slots=True)
class TokenBucket:
    """Lets so many calls a second through on average, and not more at once than `burst_s` seconds' worth.

    It begins full.
    """

    burst_s: float
    tokens: float = math.inf
    filled_at: float = field(default_factory=time.monotonic)

    def fill(self, now: float, per_s: float) -> int:
        """How many calls may be started now."""
        self.tokens = min(per_s * self.burst_s, self.tokens + (now - self.filled_at) * per_s)
        self.filled_at = now
        return int(self.tokens)

    def take(self, calls: int) -> None:
        self.tokens -= calls
