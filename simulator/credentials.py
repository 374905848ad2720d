"""Where a request carries its API key, and what its body says, for the parts that need both."""

import io
import json
from collections.abc import Mapping
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from simulator.uploads import UploadForm, UploadTooLarge

MAX_JSON_BYTES = 4 * 1024 * 1024
MAX_FORM_BYTES = 64 * 1024 * 1024
_KEY_MEMBERS = ("apiKey", "apikey")


def json_members(body: bytes) -> dict[str, Any]:
    """A JSON body's members; none when it is no object."""
    try:
        members = json.loads(body) if len(body) <= MAX_JSON_BYTES else None
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


def bearer_key(headers: Mapping[str, str]) -> str:
    """The key of an `Authorization` header, with or without `Bearer`; empty without one."""
    value = headers.get("authorization", "").strip()
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value


def key_of(members: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """The key of a v1 call: a member `apiKey` or `apikey` before the header; empty without any."""
    for name in _KEY_MEMBERS:
        value = members.get(name)
        if isinstance(value, str) and value:
            return value
    return bearer_key(headers)


def members_of(request: Request, body: bytes) -> dict[str, Any]:
    """The members of any request: its query, and those of a JSON or multipart body."""
    content_type, options = parse_options_header(request.headers.get("content-type"))
    members: dict[str, Any] = dict(request.query_params)
    if content_type == b"multipart/form-data":
        return members | _form_fields(options.get(b"boundary", b""), body)
    return members | json_members(body)


def _form_fields(boundary: bytes, body: bytes) -> dict[str, str]:
    if not boundary:
        return {}
    form = UploadForm(boundary, io.BytesIO(), MAX_FORM_BYTES)
    try:
        form.feed(body)
    except (FormParserError, UploadTooLarge):
        return {}
    return form.fields
