"""Counts the costly calls of each client in a minute."""

import math
import time
from contextlib import AbstractContextManager

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.requests import Request

from api.auth import bearer_token, token_digest
from api.paths import PRINCIPAL
from api.upload_slots import UploadSlots
from config import Settings
from errors import RateLimited
from models import OPERATOR, Principal


class RateLimiter:
    """Counts in this process. A client is a user, a token, or an address where no tokens are set."""

    def __init__(self, settings: Settings) -> None:
        self._per_minute = settings.rate_limit_per_minute
        self._by_token = settings.needs_token
        self._upload_slots = UploadSlots()
        # A fixed window from a client's first call: one counter per client, and Retry-After is exact.
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def upload_slot(self, request: Request) -> AbstractContextManager[None]:
        """For as long as an upload takes. Raises RateLimited where too many are in progress."""
        return self._upload_slots.used_by(self._client(request))

    async def check(self, request: Request) -> None:
        """Raise RateLimited when the client has used up its minute."""
        own = _principal(request).limits.calls_per_minute
        per_minute = self._per_minute if own is None else own
        if not per_minute:
            return
        limit, client = RateLimitItemPerMinute(per_minute), self._client(request)
        if await self._limiter.hit(limit, client):
            return
        window = await self._limiter.get_window_stats(limit, client)
        raise RateLimited(
            f"More than {per_minute} calls in a minute; call again when the minute is over.",
            retry_after=max(1, math.ceil(window.reset_time - time.time())),
        )

    def _client(self, request: Request) -> str:
        if (owner := _principal(request).owner) is not None:
            return f"user {owner}"
        if self._by_token:
            token = bearer_token(request.headers.get("authorization", "").encode("latin-1"))
            return token_digest(token).hex()
        return request.client.host if request.client else "unknown"


def _principal(request: Request) -> Principal:
    principal: Principal = request.scope.get(PRINCIPAL, OPERATOR)
    return principal
