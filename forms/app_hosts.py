"""On which host an app or workflow is: each is tried in turn, and the first that has it is remembered."""

from cachetools import LRUCache

from errors import AppError, RunningHubNotConfigured, RunningHubRejected, WebappNotFound, WorkflowNotFound
from forms.builder import webapp_form, workflow_form
from forms.types import Form
from models import Kind
from runninghub.accounts import Account, Accounts
from webapp_service import WebappService

REMEMBERED = 10_000


class AppHosts:
    """Fetches forms for the cache; `base_url_of` then names the host."""

    def __init__(self, accounts: Accounts, webapps: WebappService) -> None:
        self._accounts = accounts
        self._webapps = webapps
        self._base_urls: LRUCache[tuple[str, str], str] = LRUCache(REMEMBERED)

    async def fetch_form(self, kind: str, target: str) -> Form:
        """The form as RunningHub has it now. Raises what its call raises.

        Where one host does not have it and another could not be queried, the second host's problem is raised:
        the app may exist.
        """
        hosts = self._hosts(kind, target)
        if not hosts:
            raise RunningHubNotConfigured
        problems: list[AppError] = []
        for base_url in hosts:
            try:
                form = await self._fetch_from(base_url, kind, target)
            except AppError as problem:
                problems.append(problem)
                if base_url == self._base_urls.get((kind, target)) and not _is_not_found(problem):
                    break  # it is known to be here, so the other hosts cannot have it
            else:
                self._base_urls[kind, target] = base_url
                return form
        raise next((problem for problem in problems if not _is_not_found(problem)), problems[0])

    def _hosts(self, kind: str, target: str) -> list[str]:
        """All hosts, the remembered one first."""
        known = self._base_urls.get((kind, target))
        return sorted(self._accounts.hosts, key=lambda base_url: base_url != known)

    async def _fetch_from(self, base_url: str, kind: str, target: str) -> Form:
        """Where RunningHub rejects an account, such as one with an expired key, the next one is tried."""
        *others, last = self._accounts.on_host(base_url)
        for account in others:
            try:
                return await self._fetch_with(account, kind, target)
            except RunningHubRejected:
                continue
        return await self._fetch_with(last, kind, target)

    async def _fetch_with(self, account: Account, kind: str, target: str) -> Form:
        if kind == Kind.WORKFLOW:
            return workflow_form(target, await self._webapps.workflow_graph(account, target))
        return webapp_form(target, await self._webapps.app_data(account, target))

    def base_url_of(self, kind: str, target: str) -> str | None:
        """The host where it was found last. None: not known, also where only one host is configured:

        its address may be mistyped, and a task that waits must start once it is corrected.
        """
        return self._base_urls.get((kind, target))


def _is_not_found(problem: AppError) -> bool:
    return isinstance(problem, WebappNotFound | WorkflowNotFound)
