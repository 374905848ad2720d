"""The database engine and its SQL."""
