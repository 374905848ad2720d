"""Signed addresses of result files, which expire as those of an object store do."""

import hashlib
import hmac
import math
import secrets
from urllib.parse import urlencode

from simulator.state import Task

_SECRET = secrets.token_bytes(32)
EXPIRES, SIGNATURE = "q-expires", "q-signature"


def file_name(task: Task, number: int, extension: str) -> str:
    """The name of a task's result, counted from 1."""
    return f"{task.id}_{number:05}.{extension}"


def signed_url(task: Task, number: int, extension: str, ttl_s: float) -> str:
    """Where a result is fetched from until `ttl_s` after the task's end."""
    name, expires = file_name(task, number, extension), math.ceil(task.ended_at + ttl_s)
    query = urlencode({EXPIRES: expires, SIGNATURE: _signature(name, expires)})
    return f"{task.run.files_url}/files/{name}?{query}"


def is_signed(name: str, expires: str, signature: str) -> bool:
    """Whether a link has the signature that was given to it."""
    return expires.isdecimal() and hmac.compare_digest(_signature(name, int(expires)), signature)


def _signature(name: str, expires: int) -> str:
    return hmac.new(_SECRET, f"{name}\n{expires}".encode(), hashlib.sha256).hexdigest()
