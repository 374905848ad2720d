"""The command line: `python -m simulator --port 9000`."""

import argparse
import contextlib
import json
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import uvicorn
from pydantic import ValidationError

from simulator.app import create_app
from simulator.apps import Host
from simulator.command_line import OneLineParser, family, port, reason, url_host
from simulator.faults import DroppableProtocol
from simulator.switches import Switches
from simulator.tls import Certificate, make_certificate

NGINX_KEEP_ALIVE_S = 75
JSON_SWITCHES = {"accounts", "faults"}


class Server(uvicorn.Server):
    """Stops at once: requests that hang are not waited for."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in self.server_state.tasks:
            task.cancel()
        await super().shutdown(sockets)


def main(arguments: list[str] | None = None) -> None:
    """Serve until stopped."""
    parser = _parser()
    options = parser.parse_args(arguments)
    switches = _switches(parser, vars(options))
    listeners = _listeners(parser, options)
    ports = [listener.getsockname()[1] for listener in listeners]
    app = create_app(
        switches,
        frozenset(options.key),
        options.public_url,
        options.host_name,
        files_port=ports[-1] if len(ports) > 1 else None,
        files_url=options.files_url,
        seed=options.seed,
    )
    certificate = _certificate(options)
    _announce(options, ports, certificate)
    config = uvicorn.Config(
        app,
        http=DroppableProtocol,
        ws="websockets-sansio",
        ssl_certfile=certificate.chain if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=NGINX_KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )
    with contextlib.suppress(KeyboardInterrupt):
        Server(config).run(sockets=listeners)


def _listeners(parser: OneLineParser, options: argparse.Namespace) -> list[socket.socket]:
    """The API's listener, and that of files, unless both have the same port."""
    ports = [options.port]
    if options.files_port == 0 or options.files_port != options.port:
        ports.append(options.files_port)
    with contextlib.ExitStack() as opened:
        listeners = [opened.enter_context(_listen(parser, options.host, number)) for number in ports]
        opened.pop_all()  # they stay open unless one could not be opened
    return listeners


def _certificate(options: argparse.Namespace) -> Certificate | None:
    if not options.tls:
        return None
    directory = options.tls_directory or Path(tempfile.mkdtemp(prefix="runninghub-simulator-tls-"))
    directory.mkdir(parents=True, exist_ok=True)
    return make_certificate(directory)


def _announce(options: argparse.Namespace, ports: list[int], certificate: Certificate | None) -> None:
    """Print the addresses: the API's in the first line."""
    host = url_host(options.host)
    scheme = "https" if certificate else "http"
    print(f"listening on {scheme}://{host}:{ports[0]}")
    if len(ports) > 1:
        print(f"result files on {scheme}://{host}:{ports[1]}")
    if certificate:
        print(f"certificate authority {certificate.authority}")
    sys.stdout.flush()


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog="python -m simulator",
        usage="%(prog)s [options]",
        description="A simulator of RunningHub's HTTP API: nothing runs and nothing costs.",
        epilog="Every switch can also be set while it runs: PATCH /simulator/switches with a JSON object.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=port, default=9000, help="0 picks a free one (default: 9000)")
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
    parser.add_argument(
        "--files-port",
        type=port,
        default=0,
        help="where result files are served; 0 picks a free one, the same as --port: no second listener "
        "(default: 0)",
    )
    parser.add_argument(
        "--files-url", type=_url, help="where result files are reached (default: that port of the address)"
    )
    parser.add_argument("--tls", action="store_true", help="serve https with a certificate of its own")
    parser.add_argument(
        "--tls-directory", type=Path, help="where the certificate is written (default: a temporary one)"
    )
    parser.add_argument("--seed", type=int, default=0, help="for run times, failures and faults (default: 0)")
    group = parser.add_argument_group("switches")
    for name, field in Switches.model_fields.items():
        default = "none" if name in JSON_SWITCHES else field.default
        group.add_argument(
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


def _listen(parser: OneLineParser, host: str, number: int) -> socket.socket:
    """A listening socket, made here so that a port in use is one line and the one for 0 is known early."""
    try:
        return socket.create_server((host, number), family=family(host), backlog=2048)
    except OSError as exc:
        parser.exit(1, f"{parser.prog}: cannot listen on {host}:{number}: {reason(exc)}\n")


if __name__ == "__main__":
    main()
