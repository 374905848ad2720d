"""Which paths are public, and which carry a secret."""

WEBHOOK_PREFIX = "/webhooks/runninghub/"

# Served without a token. /docs and what it loads are here because a browser cannot send a token for a page:
# behind one, nobody could reach Swagger UI's Authorize button. They describe the API and contain no data.
PUBLIC_PATHS = frozenset({"/", "/health", "/favicon.ico", "/docs", "/openapi.json"})
PUBLIC_PREFIXES = ("/web/", "/docs/", WEBHOOK_PREFIX)


def is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES)
