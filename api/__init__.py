"""The HTTP interface: schemas, problems, authentication, routes."""
