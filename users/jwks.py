"""The public keys that verify JWTs, from the address in JWT_JWKS_URL."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt

log = logging.getLogger(__name__)

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
# An unknown key id fetches the keys again, at most once in this time: ids in tokens are anybody's choice.
UNKNOWN_ID_EVERY_S = 30.0
# Until there are any keys at all.
FIRST_KEYS_EVERY_S = 2.0
# So that a key which its issuer has withdrawn is not accepted for ever.
REFRESH_EVERY_S = 600.0
MAX_KEYS = 100

FetchKeys = Callable[[], Awaitable[Any]]
"""Returns the JSON of a JWKS; raises ValueError or OSError where it cannot be had."""


class Jwks:
    """Keys by id. Those known stay valid while their address cannot be reached."""

    def __init__(self, fetch: FetchKeys, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: dict[str, jwt.PyJWK] = {}
        self._next_fetch = 0.0
        self._refresh_due = 0.0
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key with this id; without an id, the only one that there is."""
        now = self._monotonic()
        key = self._known(key_id)
        if key is None and (now >= self._next_fetch or self._fetching):
            await self._start_fetch(now)
            return self._known(key_id)
        if now >= self._refresh_due:
            self._start_fetch(now)  # nobody waits for it: the known keys are used until then
        return key

    def _known(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _start_fetch(self, now: float) -> asyncio.Future[None]:
        """One fetch at a time, for all who need it; one who goes away does not end it for the others."""
        if self._fetching is None:
            # The first keys are not fetched for an unknown id: an id that is new right after them may be.
            self._next_fetch = now + (UNKNOWN_ID_EVERY_S if self._keys else 0.0)
            self._refresh_due = now + REFRESH_EVERY_S
            self._fetching = asyncio.create_task(self._replace_keys())
        return asyncio.shield(self._fetching)

    async def _replace_keys(self) -> None:
        try:
            keys = usable_keys(await self._fetch())
        except (OSError, ValueError) as exc:
            log.warning("the keys at JWT_JWKS_URL could not be fetched", extra={"reason": str(exc)})
            keys = {}
        finally:
            self._fetching = None
        if keys:
            self._keys = keys
        elif not self._keys:
            self._next_fetch = self._monotonic() + FIRST_KEYS_EVERY_S

    async def close(self) -> None:
        if self._fetching:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)


def usable_keys(document: Any) -> dict[str, jwt.PyJWK]:
    """The public keys of a JWKS that verify signatures, by id; what is none is left out."""
    members = document.get("keys") if isinstance(document, dict) else None
    found: dict[str, jwt.PyJWK] = {}
    for number, member in enumerate((members if isinstance(members, list) else [])[:MAX_KEYS]):
        key = _usable_key(member)
        if key is not None:
            found[key.key_id or f"#{number}"] = key
    return found


def _usable_key(member: Any) -> jwt.PyJWK | None:
    if not isinstance(member, dict) or member.get("use", "sig") != "sig" or member.get("kty") == "oct":
        return None
    try:
        key = jwt.PyJWK.from_dict(member)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    return key if key.algorithm_name in ALGORITHMS else None
