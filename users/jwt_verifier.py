"""Verifies a JWT and says which user it names."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jwt
from cachetools import LRUCache

from config import Settings
from users.jwks import ALGORITHMS, Jwks

MAX_JWT_BYTES = 8_192
MAX_OWNER_CHARS = 255
# A signature is verified once and remembered for so long: the page sends the same token with every request.
REMEMBERED_S = 60.0
REMEMBERED_JWTS = 10_000
# What PyJWT raises for a hostile token: its own errors, and those of numbers and texts it did not expect.
INVALID = (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError)


class InvalidJwt(Exception):
    """The token is not valid; one sentence for people."""


@dataclass(frozen=True, slots=True)
class _Verified:
    owner: str
    valid_until_s: float


class JwtVerifier:
    """HS256 with JWT_SECRET; RS256, ES256 and EdDSA with the keys of JWT_JWKS_URL. `clock` in milliseconds.

    The algorithm decides which key is used, so that a public key is never a secret.
    """

    def __init__(self, settings: Settings, jwks: Jwks | None, clock: Callable[[], int]) -> None:
        self._secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._user_claim = settings.jwt_user_claim
        self._jwks = jwks
        self._clock = clock
        self._verified: LRUCache[bytes, _Verified] = LRUCache(REMEMBERED_JWTS)

    async def owner(self, token: bytes) -> str:
        """The user that a token names. Raises InvalidJwt."""
        digest, now_s = sha256(token).digest(), self._clock() / 1000
        known = self._verified.get(digest)
        if known is None or now_s >= known.valid_until_s:
            claims = await self._claims(token, now_s)
            known = _Verified(self._owner(claims), min(float(claims["exp"]), now_s + REMEMBERED_S))
            self._verified[digest] = known
        return known.owner

    async def _claims(self, token: bytes, now_s: float) -> dict[str, Any]:
        if len(token) > MAX_JWT_BYTES:
            raise InvalidJwt("The JWT is too long.")
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            key = await self._key(algorithm, header)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[str(algorithm)],
                audience=self._audience,
                issuer=self._issuer,
                # Times are compared here, with the clock that everything else uses.
                options={
                    "require": ["exp"],
                    "verify_aud": self._audience is not None,
                    "verify_iss": self._issuer is not None,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
            _check_times(claims, now_s)
        except INVALID as exc:
            raise InvalidJwt("The JWT is not valid here.") from exc
        return claims

    async def _key(self, algorithm: Any, header: dict[str, Any]) -> Any:
        if algorithm == "HS256" and self._secret is not None:
            return self._secret
        if algorithm in ALGORITHMS and self._jwks is not None:
            key_id = header.get("kid")
            key = await self._jwks.key(key_id if isinstance(key_id, str) else None)
            if key is not None and key.algorithm_name == algorithm:
                return key.key
        raise InvalidJwt("The JWT's algorithm or key is not accepted here.")

    def _owner(self, claims: dict[str, Any]) -> str:
        owner = claims.get(self._user_claim)
        if isinstance(owner, int) and not isinstance(owner, bool):
            owner = str(owner)
        if not isinstance(owner, str) or not 0 < len(owner) <= MAX_OWNER_CHARS or not owner.isprintable():
            raise InvalidJwt(f"The JWT's claim `{self._user_claim}` names no user.")
        return owner


def _check_times(claims: dict[str, Any], now_s: float) -> None:
    """Raises InvalidJwt for one that has expired or is not valid yet."""
    if not now_s < _time(claims["exp"]):
        raise InvalidJwt("The JWT has expired.")
    if "nbf" in claims and not _time(claims["nbf"]) <= now_s:
        raise InvalidJwt("The JWT is not valid yet.")


def _time(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidJwt("The JWT's times must be numbers.")
    return float(value)
