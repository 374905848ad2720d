"""The command line: `python -m simulator --port 9000`."""

import argparse
import contextlib
import json
import socket
from typing import Any, Literal, NoReturn, get_args, get_origin

import uvicorn
from pydantic import ValidationError

from simulator.app import create_app
from simulator.apps import Host
from simulator.faults import DroppableProtocol
from simulator.switches import Switches

NGINX_KEEP_ALIVE_S = 75
JSON_SWITCHES = {"accounts", "faults"}


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line; `--help` has the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


class Server(uvicorn.Server):
    """Stops at once: requests that hang are not waited for."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in self.server_state.tasks:
            task.cancel()
        await super().shutdown(sockets)


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to stop."""
    parser = _parser()
    options = parser.parse_args(arguments)
    switches = _switches(parser, vars(options))
    app = create_app(switches, frozenset(options.key), options.public_url, options.host_name, options.seed)
    listener = _listen(parser, options.host, options.port)
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"listening on http://{host}:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        app,
        http=DroppableProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=NGINX_KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )
    with contextlib.suppress(KeyboardInterrupt):
        Server(config).run(sockets=[listener])


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog="python -m simulator",
        usage="%(prog)s [options]",
        description="A simulator of RunningHub's HTTP API: nothing runs and nothing costs.",
        epilog="Every switch can also be set while it runs: PATCH /simulator/switches with a JSON object.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=9000, help="0 picks a free one (default: 9000)")
    parser.add_argument(
        "--key", action="append", default=[], help="an API key that is accepted; may repeat (default: any)"
    )
    parser.add_argument(
        "--public-url",
        type=_url,
        help="where it is reached (default: the address that a caller connected to)",
    )
    parser.add_argument(
        "--host-name",
        choices=get_args(Host),
        help="play one host: only its apps, workflows and files exist (default: those of both)",
    )
    parser.add_argument("--seed", type=int, default=0, help="for run times, failures and faults (default: 0)")
    board = parser.add_argument_group("switches")
    for name, field in Switches.model_fields.items():
        default = "none" if name in JSON_SWITCHES else field.default
        board.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=_metavar(name, field.annotation),
            help=f"{field.description} (default: {default})".replace("%", "%%"),
        )
    return parser


def _metavar(name: str, annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    if name in JSON_SWITCHES:
        return "JSON"
    return "yes|no" if annotation is bool else "N"


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port number")
    return int(text)


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is no http:// or https:// address")
    return text.rstrip("/")


def _switches(parser: OneLineParser, options: dict[str, Any]) -> Switches:
    given = {name: options[name] for name in Switches.model_fields if options[name] is not None}
    for name in JSON_SWITCHES & given.keys():
        try:
            given[name] = json.loads(given[name])
        except ValueError as exc:
            parser.error(f"argument --{name}: no JSON: {exc}")
    try:
        return Switches.model_validate(given)
    except ValidationError as exc:
        error = exc.errors()[0]
        where = ".".join(str(part) for part in error["loc"]).replace("_", "-")
        parser.error(f"argument --{where}: {error['msg']}")


def _listen(parser: OneLineParser, host: str, port: int) -> socket.socket:
    """A listening socket, made here so that a port in use is one line and the one for 0 is known early."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=2048)
    except OSError as exc:
        reason = str(exc.strerror).partition(" (")[0]  # Python adds the address, which is said already
        parser.exit(1, f"{parser.prog}: cannot listen on {host}:{port}: {reason}\n")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


if __name__ == "__main__":
    main()
