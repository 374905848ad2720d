"""JSON as RunningHub sends it: compact, UTF-8."""

import json
from typing import Any

from starlette.responses import Response


def json_response(body: dict[str, Any]) -> Response:
    """A response with this body; always HTTP 200."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(content, media_type="application/json")
