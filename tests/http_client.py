"""One HTTP client for the tests' calls to their own processes.

`httpx.get` and its like read the system's certificates for every call, which takes longer than the call.
"""

import httpx

# A connection for every call: processes are killed between two of them. Threads may share the client.
http_client = httpx.Client(limits=httpx.Limits(max_connections=None, max_keepalive_connections=0))
