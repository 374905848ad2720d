"""What the routes share: one state, one store of uploads, one sender of webhooks, and its own addresses."""

from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from simulator.apps import APPS, App, Host
from simulator.rendered_files import RenderedFiles
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
    files_port: int | None = None
    """The port of the listener that files are fetched from; None: the same as for all else."""
    files_url: str | None = None
    """Where files are reached from outside, when that is not the listener's own address."""
    host_name: Host | None = None
    """The host that it plays; None: apps, workflows and files of both exist."""
    rendered: RenderedFiles = field(default_factory=RenderedFiles)
    apps: dict[str, App] = field(init=False)
    workflows: dict[str, App] = field(init=False)

    def __post_init__(self) -> None:
        self.apps = _of_host(APPS, self.host_name)
        self.workflows = _of_host(WORKFLOWS, self.host_name)

    def base_url(self, connection: HTTPConnection) -> str:
        """The simulator's own address, which no `Host` header can change."""
        return self.public_url or own_address(connection)

    def files_base_url(self, connection: HTTPConnection) -> str:
        """Where results, covers and uploads are fetched from."""
        if self.files_url or self.files_port is None:
            return self.files_url or self.base_url(connection)
        return own_address(connection, self.files_port)


def simulator_of(connection: HTTPConnection) -> Simulator:
    """The simulator that serves this request."""
    simulator: Simulator = connection.app.state.simulator
    return simulator


def own_address(connection: HTTPConnection, other_port: int | None = None) -> str:
    """The address that a connection was made to, as the socket has it, or another port there."""
    scheme = {"ws": "http", "wss": "https"}.get(connection.scope["scheme"], connection.scope["scheme"])
    host, port = connection.scope["server"]
    port = port if other_port is None else other_port
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" if port is None else f"{scheme}://{name}:{port}"


def _of_host(apps: dict[str, App], host_name: Host | None) -> dict[str, App]:
    return {app_id: app for app_id, app in apps.items() if host_name in (None, app.host)}
