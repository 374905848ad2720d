"""Keeps files off the API's listener, and the API off the listener of files, where there are two."""

from starlette.types import ASGIApp, Receive, Scope, Send

from simulator import file_server, replies
from simulator.refusals import refusal


class ListenerLayer:
    """With a `files_port`, files are found at that port only, as RunningHub's are at another host."""

    def __init__(self, app: ASGIApp, files_port: int | None) -> None:
        self.app = app
        self.files_port = files_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.files_port is None or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_file = scope["path"].startswith(file_server.PATHS)
        at_files_port = scope["server"][1] == self.files_port
        if is_file == at_files_port:
            await self.app(scope, receive, send)
        elif at_files_port:
            await file_server.not_found()(scope, receive, send)
        else:
            await replies.refused(refusal(412))(scope, receive, send)
