"""A simulator of RunningHub's HTTP API, for demos, tests and benchmarks. It is never the real thing."""
