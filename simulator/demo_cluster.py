"""`make demo-cluster`: three instances on one PostgreSQL database behind nginx, and the RunningHub simulator.

Until Ctrl-C; all data are in a temporary folder and deleted at the end. No key, no internet.
"""

import argparse
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from simulator import local_postgres
from simulator.command_line import free_port, url_host
from simulator.demo import DEMO_KEY, end, options_of, wait_until_healthy

INSTANCES = 3
SHIPPED_NGINX = Path(__file__).parent.parent / "deploy/nginx.conf"
POSTGRES_SETTINGS = {"fsync": "off", "full_page_writes": "off"}  # deleted at the end anyway
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr crit;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream gateway {{
        {servers}
    }}
    {server}
}}
"""
TLS_LINES = re.compile(r"(?m)^ +(?:ssl_|add_header +Strict-Transport|server_name).*\n")
Process = subprocess.Popen[bytes]


def main(arguments: list[str] | None = None) -> int:
    options = options_of("demo_cluster", __doc__, arguments)
    if missing := missing_packages():
        print(f"python -m simulator.demo_cluster: {missing}", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(_temporary_folder()))
            database_url = stack.enter_context(_postgres(folder / "postgres"))
            return _run(options, folder, database_url)
    except KeyboardInterrupt:
        return 0


def missing_packages() -> str | None:
    """What has to be installed first, in one line."""
    packages = []
    if local_postgres.program("initdb") is None:
        packages.append("postgresql")
    if _nginx() is None:
        packages.append("nginx")
    if packages:
        return f"install {' and '.join(packages)} first: apt-get install {' '.join(packages)}"
    if importlib.util.find_spec("asyncpg") is None:
        return "the package asyncpg is missing; install it with: pip install -r requirements-postgres.txt"
    return None


def _nginx() -> str | None:
    """Debian has it in a folder that is in root's PATH only."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def _temporary_folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="demo-cluster-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # noqa: S103 - PostgreSQL's user passes through
        yield folder


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """The address of its database; only who knows the random password gets in."""
    password, port = secrets.token_hex(16), free_port()
    (folder / "data").mkdir(parents=True)
    password_file = folder / "password"
    password_file.write_text(password)
    local_postgres.create(folder / "data", "-A", "scram-sha-256", f"--pwfile={password_file}")
    password_file.unlink()
    local_postgres.start(folder / "data", port, POSTGRES_SETTINGS)
    try:
        yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    finally:
        local_postgres.stop(folder / "data", "fast")


def _run(options: argparse.Namespace, folder: Path, database_url: str) -> int:
    ports = [free_port() for _ in range(INSTANCES)]
    processes: list[Process] = []
    try:
        simulator = [sys.executable, "-m", "simulator", "--port", str(options.simulator_port)]
        processes.append(_start(simulator, stdout=subprocess.DEVNULL))
        environment = _environment(options, folder, database_url)
        instances = [_start(_instance(port), env=environment) for port in ports]
        processes += instances
        for port in ports:
            wait_until_healthy(f"http://127.0.0.1:{port}/health", processes)
        processes.append(_start(_proxy(options, folder, ports)))
        wait_until_healthy(f"http://{url_host(options.host)}:{options.port}/health", processes)
        if any(process.poll() is not None for process in processes):
            return 1
        _print_addresses(options, ports, instances)
        return _follow(processes, instances)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave some of them behind
        end(processes)


def _start(
    command: list[str], env: dict[str, str] | None = None, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C ends this program, which then ends them in order."""
    return subprocess.Popen(command, env=env, stdout=stdout, start_new_session=True)


def _instance(port: int) -> list[str]:
    server = [sys.executable, "-m", "uvicorn", "main:app", "--no-server-header"]
    return [*server, "--port", str(port), "--log-level", "warning"]


def _proxy(options: argparse.Namespace, folder: Path, ports: list[int]) -> list[str]:
    shipped, config = SHIPPED_NGINX.read_text("utf-8"), folder / "nginx.conf"
    config.write_text(nginx_config(shipped, folder, f"{url_host(options.host)}:{options.port}", ports))
    return [_nginx() or "nginx", "-e", "stderr", "-c", str(config)]


def _environment(options: argparse.Namespace, folder: Path, database_url: str) -> dict[str, str]:
    """The same for all instances."""
    return {
        # Not WARNING: each instance would warn of the folder for outputs, which they share here.
        "LOG_LEVEL": "ERROR",
        "OUTPUTS_URL": f"file://{folder}/outputs",
        **os.environ,
        "DATABASE_URL": database_url,
        "SECRET_KEY": secrets.token_hex(32),
        "RUNNINGHUB_API_KEY": DEMO_KEY,
        "RUNNINGHUB_BASE_URL": f"http://127.0.0.1:{options.simulator_port}",
    }


def nginx_config(shipped: str, folder: Path, address: str, ports: list[int]) -> str:
    """deploy/nginx.conf without TLS, at `address`, in front of several instances."""
    server, _, _ = shipped[shipped.index("server {") :].partition("\nserver {\n")
    server = TLS_LINES.sub("", server)
    for old, new in (("443 ssl http2", address), ("http://127.0.0.1:8000", "http://gateway")):
        if old not in server:
            raise ValueError(f"deploy/nginx.conf has no {old!r}")
        server = server.replace(old, new)
    return NGINX.format(
        folder=folder,
        user="user root;" if os.geteuid() == 0 else "",
        servers=" ".join(f"server 127.0.0.1:{port} fail_timeout=1s;" for port in ports),
        server=server,
    )


def _print_addresses(options: argparse.Namespace, ports: list[int], instances: list[Process]) -> None:
    address = f"http://{url_host(options.host)}:{options.port}"
    each = "".join(
        f"    http://127.0.0.1:{port}/  process {instance.pid}\n"
        for port, instance in zip(ports, instances, strict=True)
    )
    print(
        f"""
  The page                {address}/
  The API, to try out     {address}/docs
  RunningHub simulator    http://127.0.0.1:{options.simulator_port}/

  nginx passes each request to one of these instances, which share one PostgreSQL database:
{each}
  End one of them with kill -9: the others go on. Results are kept in a folder that all three share, which
  works on one machine only; with several, use s3://. All data are deleted at the end.

  Nothing is charged: tasks run on the simulator. Ctrl-C ends everything.
""",
        flush=True,  # at once, into a file or a pipe too
    )


def _follow(processes: list[Process], instances: list[Process]) -> int:
    """Wait until nothing is left that serves; an instance that ends is left to the others."""
    others = [process for process in processes if process not in instances]
    alive = instances
    while alive and all(process.poll() is None for process in others):
        time.sleep(0.2)
        now = [process for process in alive if process.poll() is None]
        if len(now) < len(alive):
            print(f"  An instance has ended; {len(now)} of {INSTANCES} go on.", flush=True)
        alive = now
    return 1


if __name__ == "__main__":
    sys.exit(main())
