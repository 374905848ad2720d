"""Bounds how many values a JSON body has, since reading it keeps the event loop busy for that long."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.body_timeout import UPLOAD_PATHS
from errors import InvalidRequest
from runninghub.replies import count_values

# 4 MB of empty lists are 1.3 million values, which take half a second; so many take 30 ms.
MAX_VALUES = 200_000


class BodyStructureMiddleware:
    """Raises InvalidRequest where the body is read, as soon as it has too many values."""

    def __init__(self, app: ASGIApp, max_values: int = MAX_VALUES) -> None:
        self._app = app
        self._max_values = max_values

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET" or scope["path"] in UPLOAD_PATHS:
            await self._app(scope, receive, send)
            return
        values = 0

        async def receive_counted() -> Message:
            nonlocal values
            message = await receive()
            values += count_values(message.get("body", b""))
            if values > self._max_values:
                raise InvalidRequest(
                    f"The body has more than {self._max_values:,} values. Send fewer in one request."
                )
            return message

        await self._app(scope, receive_counted, send)
