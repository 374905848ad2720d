"""HTTP clients for the tests' calls to their own processes.

`httpx.get` and its like, and each `httpx.Client`, read the system's certificates, longer than a call takes.
"""

from typing import Any

import httpx

# A connection for every call: processes are killed between two of them. Threads may share the client.
http_client = httpx.Client(
    verify=False,  # noqa: S501 - it is http
    limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
)


def client_of(url: str, **options: Any) -> httpx.Client:
    """A client that keeps its connections, to be closed by the caller."""
    return httpx.Client(base_url=url, verify=False, **options)  # noqa: S501 - it is http
