"""The RunningHub accounts of the settings: which account a task was sent with, and which are on a host."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from config import AccountSettings, Settings
from errors import RunningHubNotConfigured
from metrics import Metrics
from models import Task
from runninghub.client import LastResponse, Pools, RunningHubClient


@dataclass(frozen=True, slots=True)
class Account:
    """One account. Two with the same fingerprint have the same key."""

    name: str
    base_url: str
    key_fingerprint: str
    max_concurrent: int
    weight: float
    client: RunningHubClient


class Accounts:
    """All accounts that are configured, in the settings' order; there may be none."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self.all = tuple(accounts)

    @classmethod
    def of(
        cls, settings: Settings, pools: Pools, fingerprint: Callable[[str], str], metrics: Metrics
    ) -> "Accounts":
        """The accounts of the settings. `fingerprint` tells keys apart without storing them."""
        return cls(_account(each, settings, pools, fingerprint, metrics) for each in settings.accounts)

    @property
    def first(self) -> Account:
        """The account for calls that any account can make. Raises RunningHubNotConfigured."""
        if not self.all:
            raise RunningHubNotConfigured
        return self.all[0]

    @property
    def hosts(self) -> list[str]:
        """The hosts of the accounts, each once."""
        return list(dict.fromkeys(account.base_url for account in self.all))

    def on_host(self, base_url: str) -> list[Account]:
        return [account for account in self.all if account.base_url == base_url]

    def by_name(self, name: str) -> Account | None:
        return next((account for account in self.all if account.name == name), None)

    def of_task(self, task: Task) -> Account | None:
        """The account that a task was sent with: by its key, else by its name. None: not configured."""
        for account in self.all:
            if task.key_fingerprint and account.key_fingerprint == task.key_fingerprint:
                return account
        return self.by_name(task.account or "")

    def responding(self) -> frozenset[str]:
        """The names of the accounts that RunningHub has answered a short while ago."""
        return frozenset(a.name for a in self.all if a.client.responsiveness.is_responding)

    @property
    def last_response(self) -> LastResponse | None:
        """What RunningHub responded last, to any account."""
        responses = [a.client.last_response for a in self.all if a.client.last_response]
        return max(responses, key=lambda response: response.at, default=None)


def _account(
    each: AccountSettings,
    settings: Settings,
    pools: Pools,
    fingerprint: Callable[[str], str],
    metrics: Metrics,
) -> Account:
    key = each.api_key.get_secret_value()
    return Account(
        name=each.name,
        base_url=each.base_url,
        key_fingerprint=fingerprint(key),
        max_concurrent=each.max_concurrent_tasks or 0,
        weight=each.weight,
        client=RunningHubClient(pools, each.base_url, key, settings.runninghub_timeout_s, metrics),
    )
