"""Looking up an app on several hosts and with several accounts."""

import json
from collections.abc import Iterator

import httpx
import pytest
import respx

from config import Settings
from errors import RunningHubNotConfigured, RunningHubRejected, RunningHubUnavailable, WebappNotFound
from forms.app_hosts import AppHosts
from metrics import Metrics
from models import Kind
from runninghub.accounts import Accounts
from runninghub.client import Pools
from tests.conftest import answer
from webapp_service import WebappService

pytestmark = pytest.mark.anyio

CHINA, WORLD = "http://china.test", "http://world.test"
FOUND = httpx.Response(200, json=answer(0, {"webappName": "An app", "nodeInfoList": []}))
NOT_FOUND = httpx.Response(200, json=answer(1, msg="webapp not exists"))
KEY_REFUSED = httpx.Response(200, json=answer(806, msg="APIKEY_USER_NOT_FOUND"))
DOWN = httpx.Response(503)
APP = (Kind.WEBAPP, "1")


class Hosts:
    """Two hosts with two accounts each; `respond` sets what a key gets."""

    def __init__(self, router: respx.MockRouter) -> None:
        self.calls: list[str] = []
        self._responses: dict[str, httpx.Response] = {}
        router.get(path="/api/webapp/apiCallDemo").mock(side_effect=self._app)
        router.post(path="/api/openapi/getJsonApiFormat").mock(side_effect=self._workflow)

    def respond(self, **responses: httpx.Response) -> None:
        self.calls.clear()
        self._responses = {name.replace("_", "-"): response for name, response in responses.items()}

    def _app(self, request: httpx.Request) -> httpx.Response:
        return self._response(request.url.params["apiKey"])

    def _workflow(self, request: httpx.Request) -> httpx.Response:
        return self._response(json.loads(request.content)["apiKey"])

    def _response(self, key: str) -> httpx.Response:
        name = key.rstrip("x")
        self.calls.append(name)
        return self._responses[name]


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with respx.mock(using="httpx", assert_all_called=False) as router:
        yield Hosts(router)


def app_hosts_of(client: httpx.AsyncClient, *accounts: tuple[str, str]) -> AppHosts:
    listed = [{"name": name, "api_key": name.ljust(32, "x"), "base_url": url} for name, url in accounts]
    settings = Settings.model_validate({"_env_file": None, "runninghub_accounts": json.dumps(listed)})
    return AppHosts(Accounts.of(settings, Pools(client, client, client), str, Metrics()), WebappService())


@pytest.fixture
def app_hosts(client: httpx.AsyncClient, hosts: Hosts) -> AppHosts:
    return app_hosts_of(client, ("cn-1", CHINA), ("ai-1", WORLD), ("cn-2", CHINA), ("ai-2", WORLD))


async def test_the_first_host_that_has_the_app_is_remembered(app_hosts: AppHosts, hosts: Hosts) -> None:
    hosts.respond(cn_1=NOT_FOUND, ai_1=FOUND)
    assert app_hosts.base_url_of(*APP) is None
    assert (await app_hosts.fetch_form(*APP))["webappName"] == "An app"
    assert (app_hosts.base_url_of(*APP), hosts.calls) == (WORLD, ["cn-1", "ai-1"])

    hosts.respond(cn_1=NOT_FOUND, ai_1=FOUND)
    await app_hosts.fetch_form(*APP)
    assert hosts.calls == ["ai-1"]


async def test_an_app_and_a_workflow_with_the_same_id_may_be_on_two_hosts(
    app_hosts: AppHosts, hosts: Hosts
) -> None:
    hosts.respond(cn_1=NOT_FOUND, ai_1=FOUND)
    await app_hosts.fetch_form(*APP)
    graph = {"3": {"class_type": "KSampler", "inputs": {"steps": 20}}}
    hosts.respond(cn_1=httpx.Response(200, json=answer(0, {"prompt": json.dumps(graph)})))
    form = await app_hosts.fetch_form(Kind.WORKFLOW, "1")
    assert [field["fieldName"] for field in form["nodeInfoList"]] == ["steps"]
    assert app_hosts.base_url_of(Kind.WORKFLOW, "1") == CHINA
    assert app_hosts.base_url_of(*APP) == WORLD


async def test_an_app_that_moved_is_found_on_its_new_host(app_hosts: AppHosts, hosts: Hosts) -> None:
    hosts.respond(cn_1=FOUND)
    await app_hosts.fetch_form(*APP)
    hosts.respond(cn_1=NOT_FOUND, ai_1=FOUND)
    await app_hosts.fetch_form(*APP)
    assert app_hosts.base_url_of(*APP) == WORLD


async def test_an_app_that_no_host_has_is_not_found(app_hosts: AppHosts, hosts: Hosts) -> None:
    hosts.respond(cn_1=NOT_FOUND, ai_1=NOT_FOUND)
    with pytest.raises(WebappNotFound):
        await app_hosts.fetch_form(*APP)
    assert hosts.calls == ["cn-1", "ai-1"]
    assert app_hosts.base_url_of(*APP) is None


async def test_a_host_that_is_down_does_not_hide_an_app_of_another(app_hosts: AppHosts, hosts: Hosts) -> None:
    hosts.respond(cn_1=DOWN, ai_1=FOUND)
    await app_hosts.fetch_form(*APP)
    assert app_hosts.base_url_of(*APP) == WORLD


@pytest.mark.parametrize("responses", [{"cn_1": DOWN, "ai_1": NOT_FOUND}, {"cn_1": NOT_FOUND, "ai_1": DOWN}])
async def test_an_app_is_not_called_unknown_while_a_host_is_down(
    app_hosts: AppHosts, hosts: Hosts, responses: dict[str, httpx.Response]
) -> None:
    hosts.respond(**responses)
    with pytest.raises(RunningHubUnavailable):
        await app_hosts.fetch_form(*APP)
    assert hosts.calls == ["cn-1", "ai-1"]


async def test_while_the_remembered_host_is_down_no_other_is_tried(app_hosts: AppHosts, hosts: Hosts) -> None:
    hosts.respond(cn_1=FOUND)
    await app_hosts.fetch_form(*APP)
    hosts.respond(cn_1=DOWN)
    with pytest.raises(RunningHubUnavailable):
        await app_hosts.fetch_form(*APP)
    assert (app_hosts.base_url_of(*APP), hosts.calls) == (CHINA, ["cn-1"])


async def test_where_an_account_is_rejected_the_next_of_its_host_is_tried(
    app_hosts: AppHosts, hosts: Hosts
) -> None:
    hosts.respond(cn_1=KEY_REFUSED, cn_2=FOUND)
    await app_hosts.fetch_form(*APP)
    assert (app_hosts.base_url_of(*APP), hosts.calls) == (CHINA, ["cn-1", "cn-2"])


async def test_where_every_account_is_rejected_the_form_is_too(app_hosts: AppHosts, hosts: Hosts) -> None:
    hosts.respond(cn_1=KEY_REFUSED, cn_2=KEY_REFUSED, ai_1=KEY_REFUSED, ai_2=KEY_REFUSED)
    with pytest.raises(RunningHubRejected):
        await app_hosts.fetch_form(*APP)
    assert hosts.calls == ["cn-1", "cn-2", "ai-1", "ai-2"]


async def test_with_one_host_a_task_is_not_tied_to_it_before_the_app_was_found_there(
    client: httpx.AsyncClient,
) -> None:
    app_hosts = app_hosts_of(client, ("cn-1", CHINA), ("cn-2", CHINA))
    assert app_hosts.base_url_of(*APP) is None


async def test_without_an_account_there_is_no_form() -> None:
    with pytest.raises(RunningHubNotConfigured):
        await AppHosts(Accounts([]), WebappService()).fetch_form(*APP)
