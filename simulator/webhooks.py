"""TASK_END: tells the address of a run's `webhookUrl` that its task ended. Only such tasks have a timer."""

import asyncio

import httpx

from simulator.replies import task_end
from simulator.state import State, Task

ATTEMPTS = 3
TIMEOUT_S = 5


class Webhooks:
    """The timers of tasks that want a TASK_END, and the client that sends it."""

    def __init__(self, state: State, pause_s: float = 1) -> None:
        self._state = state
        self._pause_s = pause_s
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Stop all timers; what was not sent stays unsent."""
        self.forget()
        if self._client:
            await self._client.aclose()
            self._client = None

    def forget(self) -> None:
        """Drop the timers of all tasks."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def watch(self, task: Task) -> None:
        """Send the TASK_END when the task ends; called again after a cancel, it is sent at the new end."""
        if not task.run.webhook_url or self._state.switches.webhook == "off":
            return
        if earlier := self._timers.get(task.id):
            earlier.cancel()
        timer = asyncio.create_task(self._send_at_end(task))
        self._timers[task.id] = timer
        timer.add_done_callback(lambda done: self._forget_timer(task.id, done))

    async def send(self, task: Task) -> None:
        """Deliver the TASK_END now, as often as the switches say."""
        body = task_end(task, task.status(self._state.clock()), self._state.switches)
        for _ in range(1 + self._state.switches.webhook_repeats):
            await self._deliver(task.run.webhook_url or "", body)

    async def _send_at_end(self, task: Task) -> None:
        await asyncio.sleep(max(0, task.ends - self._state.clock()) + self._state.switches.webhook_delay)
        await self.send(task)

    async def _deliver(self, url: str, body: dict[str, object]) -> None:
        """Up to three attempts, until one gets 2xx."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=httpx.Timeout(TIMEOUT_S, pool=None), trust_env=False)
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(self._pause_s)
            self._state.webhooks_sent += 1
            try:
                if (await self._client.post(url, json=body)).is_success:
                    return
            except (httpx.HTTPError, httpx.InvalidURL):
                continue

    def _forget_timer(self, task_id: str, timer: asyncio.Task[None]) -> None:
        if self._timers.get(task_id) is timer:
            del self._timers[task_id]
