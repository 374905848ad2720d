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

    def upload_slot(self, request: Request, token: bytes | None = None) -> AbstractContextManager[None]:
        """For as long as an upload takes. Raises RateLimited where too many are in progress."""
        return self._upload_slots.used_by(self._client(request, token))

    async def check(self, request: Request, token: bytes | None = None) -> None:
        """Raise RateLimited when the client has used up its minute.

        `token` where it was not sent as a bearer token.
        """
        own = _principal(request).limits.calls_per_minute
        per_minute = self._per_minute if own is None else own
        if not per_minute:
            return
        limit, client = RateLimitItemPerMinute(per_minute), self._client(request, token)
        if await self._limiter.hit(limit, client):
            return
        window = await self._limiter.get_window_stats(limit, client)
        raise RateLimited(
            f"More than {per_minute} calls in a minute; call again when the minute is over.",
            retry_after=max(1, math.ceil(window.reset_time - time.time())),
        )

    def _client(self, request: Request, token: bytes | None) -> str:
        if (owner := _principal(request).owner) is not None:
            return f"user {owner}"
        if self._by_token:
            bearer = bearer_token(request.headers.get("authorization", "").encode("latin-1"))
            return token_digest(bearer if token is None else token).hex()
        return request.client.host if request.client else "unknown"


def _principal(request: Request) -> Principal:
    principal: Principal = request.scope.get(PRINCIPAL, OPERATOR)
    return principal
