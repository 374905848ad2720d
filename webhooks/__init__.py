"""Outgoing webhooks: their signatures, and the client that sends them."""
