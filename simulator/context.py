"""What the routes share: one state, one store of uploads, one sender of webhooks."""

from dataclasses import dataclass

from starlette.requests import Request

from simulator.state import State
from simulator.uploads import UploadStore
from simulator.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Simulator:
    """One running stand-in."""

    state: State
    uploads: UploadStore
    webhooks: Webhooks
    public_url: str | None

    def base_url(self, request: Request) -> str:
        """Where this request's sender reaches the stand-in, for addresses of files."""
        return self.public_url or f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"


def simulator_of(request: Request) -> Simulator:
    """The stand-in that serves this request."""
    simulator: Simulator = request.app.state.simulator
    return simulator
