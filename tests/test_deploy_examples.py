"""The examples for compose and Kubernetes in deploy/: their settings, routes, ports and times exist here."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from config import Settings
from tests.processes import ROOT
from tests.test_docs import served_routes

Json = dict[str, Any]
SETTINGS = {name.upper() for name in Settings.model_fields}
OF_UVICORN = {"FORWARDED_ALLOW_IPS"}
# How long a stop waits for a paid call in flight.
PAID_CALL_S = 10


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.fixture
def compose() -> Json:
    services: Json = yaml.safe_load(read("deploy/compose.yaml"))["services"]
    return services


@pytest.fixture
def kubernetes() -> dict[str, Json]:
    """By kind."""
    return {document["kind"]: document for document in yaml.safe_load_all(read("deploy/kubernetes.yaml"))}


@pytest.fixture
def container(kubernetes: dict[str, Json]) -> Json:
    (container,) = kubernetes["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def image_port() -> int:
    """Where the service listens in its image."""
    (port,) = re.findall(r"(?m)^EXPOSE (\d+)$", read("Dockerfile"))
    assert f'"--port", "{port}"' in read("Dockerfile")
    return int(port)


def test_three_instances_start_from_each_example(compose: Json, kubernetes: dict[str, Json]) -> None:
    assert compose["gateway"]["deploy"]["replicas"] == 3
    assert kubernetes["Deployment"]["spec"]["replicas"] == 3


def test_every_variable_is_a_setting(compose: Json, kubernetes: dict[str, Json], container: Json) -> None:
    assert set(compose["gateway"]["environment"]) <= SETTINGS | OF_UVICORN
    in_pod = {variable["name"] for variable in container["env"]} | set(kubernetes["Secret"]["stringData"])
    assert in_pod <= SETTINGS | OF_UVICORN
    assert {"DATABASE_URL", "SECRET_KEY", "ACCESS_TOKENS", "OUTPUTS_URL"} <= in_pod


def test_secrets_are_in_the_secret_only(kubernetes: dict[str, Json], container: Json) -> None:
    assert container["envFrom"] == [{"secretRef": {"name": kubernetes["Secret"]["metadata"]["name"]}}]
    plain = {variable["name"] for variable in container["env"]}
    assert not {name for name in plain if re.search("KEY|TOKEN|SECRET|PASSWORD|DATABASE", name)}


def test_the_example_values_are_accepted(kubernetes: dict[str, Json], container: Json) -> None:
    values = kubernetes["Secret"]["stringData"] | {one["name"]: one["value"] for one in container["env"]}
    known: Json = {name.lower(): value for name, value in values.items() if name in SETTINGS}
    settings = Settings(**{"_env_file": None, **known})
    assert settings.uses_postgresql
    assert settings.outputs_url.startswith("s3://")


def test_probes_call_existing_routes_at_the_port_of_the_image(
    kubernetes: dict[str, Json], container: Json
) -> None:
    assert container["ports"] == [{"name": "http", "containerPort": image_port()}]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {f"GET {probe['path']}" for probe in probes.values()} <= served_routes()
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert kubernetes["Service"]["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]


def test_a_database_that_is_away_restarts_no_instance(container: Json) -> None:
    assert container["livenessProbe"]["httpGet"]["path"] not in {"/health", "/ready"}
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_the_service_selects_the_pods(kubernetes: dict[str, Json]) -> None:
    deployment = kubernetes["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert labels == deployment["selector"]["matchLabels"] == kubernetes["Service"]["spec"]["selector"]


def test_the_user_is_the_image_s(kubernetes: dict[str, Json]) -> None:
    pod = kubernetes["Deployment"]["spec"]["template"]["spec"]
    assert f"--uid {pod['securityContext']['runAsUser']} " in read("Dockerfile")


def test_a_paid_call_is_stored_before_an_instance_is_killed(
    compose: Json, kubernetes: dict[str, Json], container: Json
) -> None:
    pod = kubernetes["Deployment"]["spec"]["template"]["spec"]
    pause_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= pause_s + PAID_CALL_S * 2
    assert compose["gateway"]["stop_grace_period"] == "30s"


def test_the_compose_database_is_the_one_that_the_instances_use(compose: Json) -> None:
    url = urlsplit(
        re.sub(r"\$\{\w+:\?[^}]*\}", "password", compose["gateway"]["environment"]["DATABASE_URL"])
    )
    database = compose["postgres"]["environment"]
    assert (url.hostname, url.port) == ("postgres", 5432)
    assert (url.username, url.path) == (database["POSTGRES_USER"], f"/{database['POSTGRES_DB']}")
    assert compose["gateway"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_the_compose_proxy_is_the_only_way_in(compose: Json) -> None:
    assert [name for name, service in compose.items() if "ports" in service] == ["proxy"]
    assert f"dynamic a gateway {image_port()} {{" in read("deploy/compose.Caddyfile")
    mounted, _, target = compose["proxy"]["volumes"][0].partition(":")
    assert (ROOT / "deploy" / mounted).is_file()
    assert target == "/etc/caddy/Caddyfile:ro"


@pytest.mark.parametrize("page", ["docs/deployment.md", "docs/zh-CN/deployment.md"])
def test_what_compose_asks_for_is_documented(page: str) -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", read("deploy/compose.yaml")))
    assert asked == {"POSTGRES_PASSWORD", "SECRET_KEY", "ACCESS_TOKENS", "DOMAIN"}
    assert all(re.search(rf"(?m)^ *{name}=", read(page)) for name in asked)
