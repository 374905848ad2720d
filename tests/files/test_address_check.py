"""Which addresses count as public, in every spelling that leads to the same machine."""

import socket

import pytest

from files.address_check import AddressNotAllowed, is_public, public_socket


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "203.119.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",  # noqa: S104 - nothing is bound
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "224.0.1.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "ff0e::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "localhost",
        "",
        "1.1.1",
    ],
)
def test_private_local_and_special_addresses(address: str) -> None:
    assert not is_public(address)


def test_no_socket_is_opened_for_an_address_that_is_not_public() -> None:
    with pytest.raises(AddressNotAllowed):
        public_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    with public_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("1.1.1.1", 80))) as opened:
        assert opened.family is socket.AF_INET
