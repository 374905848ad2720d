"""RunningHub's own routes, for clients built for it: one module per part of a call."""
