"""Ends the requests that are still open some seconds after a stop: the server would wait for them."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import response_to
from errors import ServiceStopping

# How long requests may take to end by themselves. Paid calls in flight get 7 s, so that nothing is gained
# by less.
ENDING_S = 5.0
RETRY_AFTER_S = 5


class OpenRequests:
    """What this process works on: a task for each request and each WebSocket."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[object]] = set()
        self.are_ended = False

    def end_in_time(self) -> None:
        """Called at a stop: what is open `ENDING_S` later is cancelled."""
        asyncio.get_running_loop().call_later(ENDING_S, self.end)

    def end(self) -> None:
        self.are_ended = True
        for task in self.tasks:
            task.cancel()


class OpenRequestsMiddleware:
    """Responds to a request that was ended; of one whose response has begun, the connection is closed."""

    def __init__(self, app: ASGIApp, requests: OpenRequests) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        if scope["type"] == "lifespan" or task is None:
            await self._app(scope, receive, send)
            return
        has_begun = scope["type"] == "websocket"

        async def send_noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        self._requests.tasks.add(task)
        try:
            await self._app(scope, receive, send_noted)
        except asyncio.CancelledError:
            if not self._requests.are_ended:
                raise
            task.uncancel()
        else:
            return
        finally:
            self._requests.tasks.discard(task)
        if not has_begun:
            await response_to(scope, _stopping())(scope, receive, send)


def _stopping() -> ServiceStopping:
    return ServiceStopping(
        "The service is stopping and did not finish this request. Send it again; a submit with the same"
        " Idempotency-Key, since its task may be stored.",
        retry_after=RETRY_AFTER_S,
    )
