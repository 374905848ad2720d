"""What both command lines share: errors in one line, and ports."""

import argparse
import socket
from typing import NoReturn

MAX_PORT = 65_535


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line; `--help` has the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def port(text: str) -> int:
    """The type of an option that is a port; 0 where any free one will do."""
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number (0 to {MAX_PORT})")
    return int(text)


def family(host: str) -> socket.AddressFamily:
    """The address family of a host name or address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def url_host(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def reason(error: OSError) -> str:
    """Why a socket could not be opened; without the address, which Python appends."""
    return str(error.strerror or error).partition(" (")[0]


def free_port() -> int:
    """On loopback, free when asked for."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number
