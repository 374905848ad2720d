"""A PostgreSQL server of the system's packages in a folder of its own: for `make demo-cluster` and tests."""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

TIMEOUT_S = 60
STARTS = 50
UNPRIVILEGED = "postgres"
# For data that need not outlive the machine: nothing waits for the disk.
VOLATILE = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


def program(name: str) -> str | None:
    """The path of one of PostgreSQL's programs, of the newest version; None where it is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    path = os.pathsep.join([*map(str, reversed(folders)), os.environ.get("PATH", "")])
    return shutil.which(name, path=path)


def create(data: Path, *arguments: str) -> None:
    """Initialise the empty folder `data`, alone in its folder; `arguments` go to initdb."""
    if os.geteuid() == 0:
        shutil.chown(data.parent, _user())
        shutil.chown(data, _user())
    run("initdb", "-D", str(data), "-U", "postgres", "-E", "UTF8", "--no-sync", *arguments)


def start(data: Path, port: int, settings: Mapping[str, str]) -> None:
    """Return when it accepts connections at 127.0.0.1. Raises RuntimeError with its log."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    options += f" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -p {port}"
    log = data.with_suffix(".log")
    for _ in range(STARTS):
        try:
            run("pg_ctl", "-D", str(data), "-w", "-l", str(log), "-o", options, "start")
            return
        except subprocess.CalledProcessError:  # processes of a killed server have not all ended yet
            time.sleep(0.2)
    raise RuntimeError(f"PostgreSQL does not start:\n{log.read_text()}")


def stop(data: Path, mode: str) -> None:
    """`fast`: as a restart does. `immediate`: as a crash."""
    run("pg_ctl", "-D", str(data), "-w", "-m", mode, "stop")


def run(name: str, *arguments: str) -> None:
    """PostgreSQL refuses to run as root: then it runs as the user of its package, or as nobody."""
    as_user = ["setpriv", f"--reuid={_user()}", "--clear-groups"] if os.geteuid() == 0 else []
    subprocess.run(
        [*as_user, program(name) or name, *arguments],
        check=True,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        cwd="/",
        timeout=TIMEOUT_S,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches whoever stops it, not the server
    )


def _user() -> str:
    try:
        return pwd.getpwnam(UNPRIVILEGED).pw_name
    except KeyError:
        return "nobody"
