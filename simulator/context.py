"""What the routes share: one state, one store of uploads, one sender of webhooks, and its own addresses."""

from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from simulator.apps import APPS, App, Host
from simulator.state import State
from simulator.uploads import UploadStore
from simulator.webhooks import Webhooks
from simulator.workflows import WORKFLOWS


@dataclass(slots=True)
class Simulator:
    """One running simulator."""

    state: State
    uploads: UploadStore
    webhooks: Webhooks
    public_url: str | None = None
    host_name: Host | None = None
    """The host that it plays; None: apps, workflows and files of both exist."""
    apps: dict[str, App] = field(init=False)
    workflows: dict[str, App] = field(init=False)

    def __post_init__(self) -> None:
        self.apps = _of_host(APPS, self.host_name)
        self.workflows = _of_host(WORKFLOWS, self.host_name)

    def base_url(self, connection: HTTPConnection) -> str:
        """The simulator's own address, which no `Host` header can change."""
        return self.public_url or own_address(connection)


def simulator_of(connection: HTTPConnection) -> Simulator:
    """The simulator that serves this request."""
    simulator: Simulator = connection.app.state.simulator
    return simulator


def own_address(connection: HTTPConnection) -> str:
    """The address that a connection was made to, as the socket has it."""
    scheme = {"ws": "http", "wss": "https"}.get(connection.scope["scheme"], connection.scope["scheme"])
    host, port = connection.scope["server"]
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" if port is None else f"{scheme}://{name}:{port}"


def _of_host(apps: dict[str, App], host_name: Host | None) -> dict[str, App]:
    return {app_id: app for app_id, app in apps.items() if host_name in (None, app.host)}
