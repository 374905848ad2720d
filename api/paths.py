"""Which paths are public, and which carry a secret."""

import re
from collections.abc import Mapping
from typing import Any

WEBHOOK_PREFIX = "/webhooks/runninghub/"

# The paths of RunningHub's own API; their routes are in `api.routers.runninghub_compat`. ComfyUI's proxy is
# here because its paths contain a key, which must not be logged.
PROXY_PREFIXES = ("/proxy/", "/proxy-plus/")
RUNNINGHUB_PREFIXES = ("/task/openapi/", "/uc/", "/api/", "/openapi/", *PROXY_PREFIXES)

# Served without a token. /docs and what it loads are here because a browser cannot send a token for a page:
# behind one, nobody could reach Swagger UI's Authorize button. They describe the API and contain no data.
PUBLIC_PATHS = frozenset({"/", "/health", "/ready", "/favicon.ico", "/docs", "/openapi.json"})
PUBLIC_PREFIXES = ("/web/", "/docs/", WEBHOOK_PREFIX)


# An output's link is signed: the route checks it.
OUTPUT_PATH = re.compile(r"/tasks/[^/]+/outputs/[^/]+")
# In a request's scope: who makes it; a request that is only authorised by a signed link has none.
PRINCIPAL = "runninghub_gateway.principal"
# In a request's scope: a valid token was sent.
HAS_TOKEN = "runninghub_gateway.has_token"  # noqa: S105 - a name


def is_runninghub_path(path: str) -> bool:
    """Whether a client built for RunningHub calls it: it responds in RunningHub's envelope."""
    return f"{path}/".startswith(RUNNINGHUB_PREFIXES)


def path_of(scope: Mapping[str, Any]) -> str:
    """A request's path as the routes see it."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def is_signed_link(path: str, query: bytes) -> bool:
    """Whether the request claims to be a signed link; its route has to check the signature."""
    return OUTPUT_PATH.fullmatch(path) is not None and b"signature=" in query


def is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES)
