"""How fast the service is, measured against a plain version of it, a bare route and direct calls."""
