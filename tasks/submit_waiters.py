"""The requests that wait until RunningHub has responded to a task's paid call."""

import asyncio
from dataclasses import dataclass

from errors import AppError
from models import Task


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """How a paid call ended for those who wait; `task` None: it has to be read from the database."""

    task: Task | None = None
    problem: AppError | None = None


class SubmitWaiters:
    """One future for each task whose submit waits; whoever comes with the same key waits for the same one."""

    def __init__(self) -> None:
        self._results: dict[str, asyncio.Future[SubmitResult]] = {}

    def add(self, task_id: str) -> None:
        """From now on, `wait` waits for this task."""
        self._results[task_id] = asyncio.get_running_loop().create_future()

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._results

    async def wait(self, task_id: str, timeout_s: float) -> SubmitResult:
        """The result, or an empty one where nobody is to wait or the time is over."""
        if (result := self._results.get(task_id)) is None:
            return SubmitResult()
        await asyncio.wait({result}, timeout=timeout_s)
        return result.result() if result.done() else SubmitResult()

    def resolve(self, task_id: str, result: SubmitResult | None = None) -> None:
        """End the wait for a task; without a result those who wait read it from the database."""
        future = self._results.pop(task_id, None)
        if future and not future.done():
            future.set_result(result or SubmitResult())

    def resolve_all(self) -> None:
        for task_id in list(self._results):
            self.resolve(task_id)
