"""HEAD, wherever there is GET: the same status and headers, without a body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _HeadersSent(Exception):
    """Ends the response to a HEAD once its headers are sent, an event stream too."""


class HeadMiddleware:
    """Calls the app with GET; FastAPI's own routes would respond 405 to HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_headers_only(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                await send({"type": "http.response.body"})
                raise _HeadersSent

        try:
            await self._app({**scope, "method": "GET"}, receive, send_headers_only)
        except* _HeadersSent:  # in a group where the response was sent from a task group
            pass
