"""Says in one line why the service could not start, where the server would print a traceback."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services import StartRefused


class StartupMiddleware:
    """Shortens the lifespan's message about a StartRefused to its sentence; the server logs it and exits."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_one_line(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                _, refused, sentence = message["message"].rpartition(f"{StartRefused.__qualname__}: ")
                if refused:
                    message = {**message, "message": sentence.strip()}
            await send(message)

        await self._app(scope, receive, send_one_line)
