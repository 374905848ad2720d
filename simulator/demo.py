"""`make demo`: the service and the RunningHub simulator together, until Ctrl-C. No key, no internet."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

DEMO_KEY = "0123456789abcdef0123456789abcdef"
START_TIMEOUT_S = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--simulator-port", type=int, default=9000)
    options = parser.parse_args()
    for host, port, name in [
        (options.host, options.port, "PORT"),
        ("127.0.0.1", options.simulator_port, "SIMULATOR_PORT"),
    ]:
        if is_taken(host, port):
            print(f"Port {port} is in use. Choose another: make demo {name}={port + 1}", file=sys.stderr)
            return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    processes = start(options)
    try:
        return follow(processes, options)
    except KeyboardInterrupt:
        return 0
    finally:
        end(processes)


def is_taken(host: str, port: int) -> bool:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        return True
    return False


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
    address = f"http://{options.host}:{options.port}"
    wait_until_healthy(f"{address}/health", processes)
    if all(process.poll() is None for process in processes):
        told = f"""
  The page                {address}/
  The API, to try out     {address}/docs
  RunningHub simulator    http://127.0.0.1:{options.simulator_port}/

  Nothing is charged: tasks run on the simulator. Ctrl-C ends both.
"""
        print(told, flush=True)  # at once, into a file or a pipe too
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
