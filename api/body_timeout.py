"""A request's body has to arrive in time, so that a slow body holds nothing for long."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import InvalidRequest

BODY_S = 60.0
UPLOAD_S = 300.0
UPLOAD_PATHS = frozenset({"/upload", "/task/openapi/upload", "/openapi/v2/media/upload/binary"})


class BodyTimeoutMiddleware:
    """Raises InvalidRequest where the body is read, when it is not there after the time allowed for it."""

    def __init__(self, app: ASGIApp, body_s: float = BODY_S, upload_s: float = UPLOAD_S) -> None:
        self._app = app
        self._body_s = body_s
        self._upload_s = upload_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        allowed_s = self._upload_s if scope["path"] in UPLOAD_PATHS else self._body_s
        deadline = asyncio.get_running_loop().time() + allowed_s
        is_complete = False

        async def receive_in_time() -> Message:
            nonlocal is_complete
            if is_complete:  # what is awaited now is the client's leaving
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as exc:
                raise InvalidRequest(f"The body did not arrive within {allowed_s:g} seconds.") from exc
            is_complete = not message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)
