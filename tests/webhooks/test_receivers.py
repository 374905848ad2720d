"""Which addresses are known to be private before any name is resolved."""

import pytest

from webhooks.receivers import is_known_private


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "10.0.0.1",
            "192.168.1.1",
            "169.254.169.254",
        ),
        *("127.1", "0x7f000001", "2130706433", "[::1]", "[fe80::1]", "[::ffff:10.0.0.1]"),
    ],
)
def test_private_addresses_are_known_in_every_spelling(host: str) -> None:
    assert is_known_private(f"https://{host}:8443/hook")


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "[2606:4700::1111]", "10.example.com"])
def test_names_and_public_addresses_are_not_known_to_be_private(host: str) -> None:
    assert not is_known_private(f"https://{host}/hook")
