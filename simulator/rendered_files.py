"""The last few result files as they were drawn."""

from collections import OrderedDict

from starlette.concurrency import run_in_threadpool

from simulator import results
from simulator.state import Task
from simulator.uploads import UploadStore


class RenderedFiles:
    """Keeps a few contents, so that a file that is fetched in parts is not drawn for each."""

    def __init__(self, limit: int = 16) -> None:
        self._limit = limit
        self._contents: OrderedDict[str, bytes] = OrderedDict()

    async def content(self, task: Task, name: str, extension: str, uploads: UploadStore) -> bytes:
        """The content of a result; drawn in a thread, since that takes a while."""
        content = self._contents.get(name)
        if content is None:
            content = await run_in_threadpool(results.make, task, extension, uploads)
            self._contents[name] = content
            if len(self._contents) > self._limit:
                self._contents.popitem(last=False)
        return content
