"""The proxies' configurations in deploy/, with the real programs: nothing is buffered or limited twice."""

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.http_client import http_client
from tests.processes import ROOT, Running, free_port, start_program, start_service, start_simulator

TOKEN = "a-token-for-the-tests-of-proxies"
TEXT_TO_IMAGE = "1992755951447109633"
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""

pytestmark = pytest.mark.processes


@dataclass(frozen=True, slots=True)
class Proxied:
    """A client of the service through a proxy, and the address that plain HTTP has."""

    client: httpx.Client
    plain_url: str


def certificate(folder: Path) -> Path:
    """A self-signed one, with its key in `key.pem` beside it."""
    kind = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(["openssl", "req", *kind, *names, *files], cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem"


@contextmanager
def behind_nginx(service: Running, folder: Path) -> Iterator[Proxied]:
    port, plain_port, trusted = free_port(), free_port(), certificate(folder)
    servers = (ROOT / "deploy/nginx.conf").read_text("utf-8")
    for shipped, used in {
        "listen 443": f"listen 127.0.0.1:{port}",
        "listen 80": f"listen 127.0.0.1:{plain_port}",
        "/etc/letsencrypt/live/tasks.example.com/fullchain.pem": str(trusted),
        "/etc/letsencrypt/live/tasks.example.com/privkey.pem": str(folder / "key.pem"),
        "/var/www/html": str(folder),
        "http://127.0.0.1:8000": service.url,
    }.items():
        assert shipped in servers
        servers = servers.replace(shipped, used)
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, user=user, servers=servers), "utf-8")
    context = ssl.create_default_context(cafile=trusted)
    challenge = folder / ".well-known/acme-challenge"
    challenge.mkdir(parents=True)
    (challenge / "up").write_text("up", "utf-8")
    with (
        start_program(["nginx", "-c", str(config)], plain_port, "/.well-known/acme-challenge/up"),
        httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, timeout=30) as client,
    ):
        yield Proxied(client, f"http://127.0.0.1:{plain_port}")


@contextmanager
def behind_caddy(service: Running, folder: Path) -> Iterator[Proxied]:
    # Without TLS: the certificate is Caddy's own business, and cannot be fetched here.
    port = free_port()
    shipped = (ROOT / "deploy/Caddyfile").read_text("utf-8")
    site = shipped.replace("tasks.example.com {", f"http://127.0.0.1:{port} {{")
    site = site.replace("127.0.0.1:8000", service.url.removeprefix("http://"))
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{site}", "utf-8")
    own_folders = ["env", f"XDG_CONFIG_HOME={folder}", f"XDG_DATA_HOME={folder}"]
    command = [*own_folders, "caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    with (
        start_program(command, port, "/health"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        yield Proxied(client, "")


@contextmanager
def behind_compose_caddy(service: Running, folder: Path) -> Iterator[Proxied]:
    """As in compose.yaml; of the addresses that `localhost` has, ::1 is an instance that is not up."""
    port = free_port()
    config = (ROOT / "deploy/compose.Caddyfile").read_text("utf-8")
    assert "gateway 8000" in config
    config = config.replace("gateway 8000", f"localhost {service.url.rpartition(':')[2]}")
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{config}", "utf-8")
    own = ["env", f"XDG_CONFIG_HOME={folder}", f"XDG_DATA_HOME={folder}", f"DOMAIN=http://127.0.0.1:{port}"]
    command = [*own, "caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    with (
        start_program(command, port, "/ready"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        yield Proxied(client, "")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    database = tmp_path_factory.mktemp("deploy") / "tasks.db"
    settings = {"ACCESS_TOKENS": TOKEN, "POLL_INTERVAL_S": "0.1", "MAX_UPLOAD_MB": "3"}
    with (
        start_simulator(queue_time=0.3, run_time=1, slots=0) as simulator,
        start_service(simulator.url, database, env=settings) as service,
    ):
        yield service


PROXIES = {
    "nginx": ("nginx", behind_nginx),
    "caddy": ("caddy", behind_caddy),
    "caddy of compose": ("caddy", behind_compose_caddy),
}


@pytest.fixture(scope="module", params=list(PROXIES))
def proxied(
    request: pytest.FixtureRequest, service: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    program, behind = PROXIES[request.param]
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here: apt-get install {program}")
    with behind(service, tmp_path_factory.mktemp("proxy")) as proxied:
        proxied.client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield proxied


def test_the_page_and_the_token_pass_through(proxied: Proxied) -> None:
    page = proxied.client.get("/")
    assert page.status_code == 200
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert proxied.client.get("/tasks").status_code == 200
    refused = proxied.client.get("/tasks", headers={"Authorization": "Bearer another"})
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")


def test_events_arrive_while_the_task_runs(proxied: Proxied) -> None:
    submitted = proxied.client.post("/submit_task", json={"webappId": TEXT_TO_IMAGE, "nodeInfoList": []})
    path = f"/tasks/{submitted.json()['task_id']}"
    with proxied.client.stream("GET", f"{path}/events") as stream:
        events = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        first = next(events)
        while_it_runs = proxied.client.get(path).json()
        *_, last = events
    assert first["status"] != "SUCCESS"
    assert while_it_runs["status"] != "SUCCESS"
    assert last["status"] == "SUCCESS"


def test_an_upload_passes_through_and_one_that_is_too_large_gets_the_service_s_own_error(
    proxied: Proxied,
) -> None:
    sample = (ROOT / "docs/sample.png").read_bytes()
    passed = proxied.client.post("/upload", files={"file": ("sample.png", sample + bytes(2 << 20))})
    assert (passed.status_code, passed.json()["fileType"]) == (200, "input")
    refused = proxied.client.post("/upload", files={"file": ("sample.png", sample + bytes(4 << 20))})
    assert (refused.status_code, refused.json()["code"]) == (413, "file_too_large")


# Caddy does this by itself, where it has a certificate.
@pytest.mark.parametrize("proxied", ["nginx"], indirect=True)
def test_plain_http_is_redirected(proxied: Proxied) -> None:
    redirected = http_client.get(f"{proxied.plain_url}/tasks?limit=1", follow_redirects=False)
    assert redirected.status_code == 301
    assert redirected.headers["Location"] == "https://127.0.0.1/tasks?limit=1"
