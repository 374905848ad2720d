"""One module per group of routes that is not in `main`: its `router` has them."""
