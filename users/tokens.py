"""Named users' tokens: shown once, stored as a hash."""

import secrets
from hashlib import sha256

TOKEN_PREFIX = "rhg_"  # noqa: S105 - every token begins with it
TOKEN_BYTES = 32


def new_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: bytes) -> bytes:
    """32 random bytes cannot be guessed: a plain hash is enough, and as fast as every request needs it."""
    return sha256(token).digest()


def is_user_token(token: bytes) -> bool:
    return token.startswith(TOKEN_PREFIX.encode())
