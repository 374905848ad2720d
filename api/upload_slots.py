"""How many uploads run at the same time: each one holds a connection to RunningHub while it lasts."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from errors import RateLimited

# As many as there are connections for files; and so many that no single client takes them all.
UPLOADS_AT_ONCE = 64
UPLOADS_PER_CLIENT = 48
RETRY_AFTER_S = 5


class UploadSlots:
    """Counts in this process, without waiting: a client that is refused can try again."""

    def __init__(self, *, at_once: int = UPLOADS_AT_ONCE, per_client: int = UPLOADS_PER_CLIENT) -> None:
        self._at_once = at_once
        self._per_client = per_client
        self._in_progress: Counter[str] = Counter()

    @contextmanager
    def used_by(self, client: str) -> Iterator[None]:
        """A slot for one upload. Raises RateLimited."""
        if self._in_progress[client] >= self._per_client or self._in_progress.total() >= self._at_once:
            raise RateLimited(
                "Too many uploads are in progress; try again when one has ended.", retry_after=RETRY_AFTER_S
            )
        self._in_progress[client] += 1
        try:
            yield
        finally:
            self._in_progress[client] -= 1
            if not self._in_progress[client]:
                del self._in_progress[client]
