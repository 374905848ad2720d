"""Each app's form, kept in memory for a while; many who ask at once make one call to RunningHub."""

import asyncio

from cachetools import LRUCache, TTLCache

from forms.builder import WebappForm, webapp_form
from webapp_service import WebappService

APPS = 500

Form = WebappForm


class FormCache:
    """Forms by app id. A failed call is not remembered: who asks next asks RunningHub."""

    def __init__(self, webapps: WebappService, ttl_s: float) -> None:
        self._webapps = webapps
        self._fresh: TTLCache[str, Form] = TTLCache(APPS, ttl_s)
        self._last_given: LRUCache[str, Form] = LRUCache(APPS)
        self._fetches: dict[str, asyncio.Task[Form]] = {}

    async def give(self, webapp_id: str, *, refresh: bool = False) -> Form:
        """The form for a front end. Raises what RunningHub's call raises."""
        form = await (self.fetch(webapp_id) if refresh else self.cached(webapp_id))
        self._last_given[webapp_id] = form
        return form

    def last_given(self, webapp_id: str) -> Form | None:
        """The form that a front end saw last, however old."""
        return self._last_given.get(webapp_id)

    async def cached(self, webapp_id: str) -> Form:
        """The form, asked for anew only when it is older than its time."""
        return self._fresh.get(webapp_id) or await self.fetch(webapp_id)

    async def fetch(self, webapp_id: str) -> Form:
        """The form as RunningHub has it now."""
        if not (fetch := self._fetches.get(webapp_id)):
            fetch = self._fetches[webapp_id] = asyncio.create_task(self._fetch(webapp_id))
            fetch.add_done_callback(lambda _: self._fetches.pop(webapp_id, None))
        # Shielded: one who goes away does not end the call for the others.
        return await asyncio.shield(fetch)

    async def _fetch(self, webapp_id: str) -> Form:
        form = webapp_form(webapp_id, await self._webapps.app_data(webapp_id))
        self._fresh[webapp_id] = form
        return form

    async def close(self) -> None:
        """End the calls under way."""
        for fetch in self._fetches.values():
            fetch.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)
