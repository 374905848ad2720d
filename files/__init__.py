"""The users' file data."""
