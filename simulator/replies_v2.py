"""RunningHub's v2 responses: an envelope with `message`, and the flat task object."""

from typing import Any

from starlette.responses import Response

from simulator import codes
from simulator.json_response import json_response
from simulator.refusals import Refusal

_BAD_KEY = 401
"""What the calls with an envelope report for any key that they refuse."""


def success(data: Any) -> Response:
    """Code 0."""
    return json_response({"code": 0, "message": "success", "data": data})


def refused(refusal: Refusal) -> Response:
    """A call with an envelope that was refused."""
    code, message = refusal.code, refusal.msg
    if code == 806:
        code, message = _BAD_KEY, codes.message(_BAD_KEY)
    return json_response({"code": code, "message": message, "data": None})
