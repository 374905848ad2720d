"""`make demo`: the service and the RunningHub simulator together, until Ctrl-C. No key, no internet."""

import argparse
import errno
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from simulator.command_line import MAX_PORT, OneLineParser, family, port, reason, url_host

DEMO_KEY = "0123456789abcdef0123456789abcdef"
START_TIMEOUT_S = 90  # on a loaded machine; a process that ends is noticed at once


def main(arguments: list[str] | None = None) -> int:
    options = options_of("demo", __doc__, arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    processes = start(options)
    try:
        return follow(processes, options)
    except KeyboardInterrupt:
        return 0
    finally:
        end(processes)


def options_of(demo: str, description: str | None, arguments: list[str] | None) -> argparse.Namespace:
    """Options of a demo; without one, the environment variable of that name applies, as it does with `make`.

    Ends with one line where an option is wrong or nothing can listen at its port.
    """
    parser = OneLineParser(prog=f"python -m simulator.{demo}", description=description)
    parser.add_argument("--host", default=os.environ.get("HOST") or "127.0.0.1")
    for option, variable, default in (
        ("--port", "PORT", "8000"),
        ("--simulator-port", "SIMULATOR_PORT", "9000"),
    ):
        parser.add_argument(option, type=port, default=os.environ.get(variable) or default)
    options = parser.parse_args(arguments)
    target = f"make {demo.replace('_', '-')}"
    check_port(parser, options.host, options.port, f"{target} PORT")
    check_port(parser, "127.0.0.1", options.simulator_port, f"{target} SIMULATOR_PORT")
    return options


def check_port(parser: OneLineParser, host: str, number: int, setting: str) -> None:
    """End with one line when nothing can listen there; `setting` is what chooses another."""
    try:
        with socket.socket(family(host)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, number))
    except OSError as exc:
        advice = ""
        if exc.errno == errno.EADDRINUSE:
            advice = f" Choose another: {setting}={number + 1 if number < MAX_PORT else number - 1}"
        parser.exit(1, f"{parser.prog}: cannot listen on {host}:{number}: {reason(exc)}.{advice}\n")


def start(options: argparse.Namespace) -> list[subprocess.Popen[bytes]]:
    simulator = [sys.executable, "-m", "simulator", "--port", str(options.simulator_port)]
    service = [sys.executable, "-m", "uvicorn", "main:app", "--no-server-header"]
    service += ["--host", options.host, "--port", str(options.port), "--log-level", "warning"]
    environment = {
        "LOG_LEVEL": "WARNING",
        "DATABASE_URL": "sqlite:///demo.db",
        **os.environ,
        "RUNNINGHUB_API_KEY": DEMO_KEY,
        "RUNNINGHUB_BASE_URL": f"http://127.0.0.1:{options.simulator_port}",
    }
    return [
        subprocess.Popen(simulator, stdout=subprocess.DEVNULL),
        subprocess.Popen(service, env=environment),
    ]


def follow(processes: list[subprocess.Popen[bytes]], options: argparse.Namespace) -> int:
    """Print the addresses once both respond, and wait until one of them ends."""
    address = f"http://{url_host(options.host)}:{options.port}"
    wait_until_healthy(f"{address}/health", processes)
    if all(process.poll() is None for process in processes):
        addresses = f"""
  The page                {address}/
  The API, to try out     {address}/docs
  RunningHub simulator    http://127.0.0.1:{options.simulator_port}/

  Nothing is charged: tasks run on the simulator. Ctrl-C ends both.
"""
        print(addresses, flush=True)  # at once, into a file or a pipe too
    while all(process.poll() is None for process in processes):
        time.sleep(0.2)
    return 1


def wait_until_healthy(url: str, processes: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 our own http address
                return
        except OSError:
            time.sleep(0.1)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
