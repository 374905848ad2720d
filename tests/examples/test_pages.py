"""The examples' pages in a real browser: from another origin, against the service and the simulator."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, FilePayload, Page, Route, expect

from simulator.apps import (
    ACCESS_PASSWORD,
    ALWAYS_FAILS,
    APPS,
    AUDIO,
    IMAGE_TO_IMAGE,
    TEXT_TO_IMAGE,
    VIDEO,
    WITH_PASSWORD,
)
from tests.browser import WAIT_MS, serve_files, start_chromium
from tests.http_client import http_client
from tests.npm import install, npm
from tests.processes import ROOT, Running, free_port, start_program, start_service, start_simulator

EXAMPLES = ROOT / "examples"
QUICK = {"POLL_INTERVAL_S": "0.1", "POLL_INTERVAL_MAX_S": "0.2"}
TOKEN = "a-long-random-word"
JWT_SECRET = "a-secret-of-at-least-thirty-two-bytes"
# RunningHub's refusal of one run.
FAULT = {"kind": "code", "code": 433, "msg": "a value is not valid"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
# What a form shows, control by control: its kind, and what bounds it or can be chosen.
CONTROLS = """() => [...document.querySelectorAll('#form :is(input, select, textarea)')]
  .filter((control) => control.labels.length)
  .map((control) => [control.labels[0].textContent.trim(), control.type, control.min ?? '', control.max ?? '',
                     [...control.options ?? []].map((option) => option.text)])"""

pytestmark = pytest.mark.processes

SignIn = Callable[[str, str], Page]


class Visit:
    """A person's browser on one of the pages; it remembers what was asked for and what went wrong."""

    def __init__(self, page: Page, pages_url: str, service: Running, simulator: Running) -> None:
        self.page = page
        page.set_default_timeout(WAIT_MS)
        self.service = service
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._pages_url = pages_url
        self._hosts = {httpx.URL(url).netloc.decode() for url in (pages_url, service.url, simulator.url)}
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)

    def open(self, example: str) -> None:
        self.page.goto(f"{self._pages_url}/{example}/")
        self.page.get_by_label("Service", exact=True).fill(self.service.url)

    def show_form(self, webapp_id: str) -> None:
        self.page.get_by_label("App id").fill(webapp_id)
        self.page.get_by_role("button", name="Show the form").click()
        expect(self.page.get_by_role("button", name="Run")).to_be_visible()

    def run(self) -> None:
        self.page.get_by_role("button", name="Run").click()

    def expect_status(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.get_by_role("status")).to_have_text(text, timeout=10_000)

    def expect_picture(self) -> None:
        self.expect_status("SUCCESS")
        self.page.wait_for_function("document.querySelector('#results img')?.naturalWidth > 0")

    def asked(self, pattern: str) -> bool:
        return any(re.search(pattern, url) for url in self.requests)

    def newest_task(self) -> dict[str, Any]:
        tasks: list[dict[str, Any]] = http_client.get(f"{self.service.url}/tasks?limit=1").json()["tasks"]
        return tasks[0]

    def check(self) -> None:
        """The console stayed empty, and nothing was asked of another host."""
        asked = {httpx.URL(url).netloc.decode() for url in self.requests if url.startswith("http")}
        assert (self.errors, asked - self._hosts) == ([], set())


@pytest.fixture(scope="module", autouse=True)
def libraries() -> None:
    """What `npm install` does."""
    install(EXAMPLES)
    build = npm(EXAMPLES, "run", "build")
    assert build.returncode == 0, build.stderr


@pytest.fixture(scope="module")
def pages_url() -> Iterator[str]:
    """The folder behind a static server, as its README says."""
    with serve_files(EXAMPLES) as url:
        yield url


@pytest.fixture(scope="module")
def simulator() -> Iterator[Running]:
    with start_simulator(queue_time=0.1, run_time=0.2, slots=0) as running:
        yield running


@pytest.fixture(scope="module")
def service(simulator: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start_service(simulator.url, tmp_path_factory.mktemp("service") / "tasks.db", env=QUICK) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with start_chromium() as browser:
        yield browser


@pytest.fixture(autouse=True)
def reset(simulator: Running) -> None:
    http_client.post(f"{simulator.url}/simulator/reset")


@pytest.fixture
def visit(browser: Browser, pages_url: str, service: Running, simulator: Running) -> Iterator[Visit]:
    page = browser.new_page()
    yield Visit(page, pages_url, service, simulator)
    page.close()


def test_choices_bounds_and_long_texts_are_drawn_as_such(visit: Visit) -> None:
    visit.open("any-form")
    visit.show_form(IMAGE_TO_IMAGE)
    ratios = ["1:1 (Square)", "2:3 (Portrait Photo)", "3:2 (Photo)", "16:9 (Widescreen)"]
    assert visit.page.evaluate(CONTROLS) == [
        ["上传图片", "text", "", "", []],
        ["提示词", "textarea", "", "", []],
        ["采样 top_p", "number", "0", "1", []],
        ["提示词来源", "select-one", "", "", ["qwen 大模型生成内容", "用户输入内容"]],
        ["模型", "select-one", "", "", ["flux-kontext-pro 模型（默认）", "flux-kontext-max 模型"]],
        ["比例", "select-one", "", "", ratios],
        ["分辨率", "select-one", "", "", ["1k", "2k", "4k"]],
        ["步数", "number", "1", "60", []],
        ["随机种子", "number", "0", "", []],
        ["重绘幅度", "number", "0.1", "1", []],
        ["面部修复", "checkbox", "", "", []],
        ["保留原图颜色", "checkbox", "", "", []],
    ]


@pytest.mark.parametrize(
    ("webapp_id", "end", "results"),
    [
        (TEXT_TO_IMAGE, "SUCCESS", ["IMG"]),
        (IMAGE_TO_IMAGE, "SUCCESS", ["IMG", "A"]),
        (AUDIO, "SUCCESS", ["AUDIO"]),
        (VIDEO, "SUCCESS", ["VIDEO"]),
        (ALWAYS_FAILS, "FAILED: Allocation on device ", []),
        (WITH_PASSWORD, "SUCCESS", ["IMG"]),
    ],
)
def test_the_form_of_every_app_is_drawn_and_runs(
    visit: Visit, webapp_id: str, end: str, results: list[str]
) -> None:
    visit.open("any-form")
    visit.show_form(webapp_id)
    labels = [control[0] for control in visit.page.evaluate(CONTROLS)]
    assert labels == [node["description"] for node in APPS[webapp_id].nodes]
    if APPS[webapp_id].access_password:
        visit.page.get_by_label("Access password").fill(ACCESS_PASSWORD)
    visit.run()
    visit.expect_status(end)
    shown = "[...document.querySelector('#results').children].map((element) => element.tagName)"
    assert visit.page.evaluate(shown) == results
    visit.check()


def test_what_was_changed_in_a_drawn_form_is_sent_and_nothing_else(visit: Visit) -> None:
    visit.open("any-form")
    visit.show_form(IMAGE_TO_IMAGE)
    picture: FilePayload = {"name": "cat.png", "mimeType": "image/png", "buffer": PNG}
    visit.page.get_by_label("上传图片 (file)").set_input_files(picture)
    expect(visit.page.get_by_label("上传图片", exact=True)).to_have_value(re.compile(r"^api/.+\.png$"))
    visit.page.get_by_label("提示词", exact=True).fill("<lora:cat:1>")
    visit.page.get_by_label("提示词来源").select_option(label="用户输入内容")
    visit.page.get_by_label("步数").fill("30")
    visit.page.get_by_label("面部修复").check()
    uploaded = visit.page.get_by_label("上传图片", exact=True).input_value()
    visit.run()
    visit.expect_status("SUCCESS")
    values = {
        (node["nodeId"], node["fieldName"]): node["fieldValue"] for node in visit.newest_task()["node_info"]
    }
    assert values == {
        ("39", "image"): uploaded,
        ("150:5", "prompt"): "<lora:cat:1>",
        ("41", "select"): "1",
        ("3", "steps"): "30",
        ("70", "value"): "true",
    }
    visit.check()


def test_a_label_that_an_author_wrote_is_text_and_never_runs(visit: Visit) -> None:
    attack = "<img src=//example.com/x onerror=alert()>"

    def with_attack(route: Route) -> None:
        answer = route.fetch()
        form = answer.json()
        form["schema"]["properties"]["15.text"] |= {"title": attack, "description": attack}
        route.fulfill(response=answer, json=form)

    visit.page.route("**/get_node_info", with_attack)
    visit.open("any-form")
    visit.show_form(ALWAYS_FAILS)
    expect(visit.page.get_by_label(attack, exact=True)).to_be_visible()
    visit.check()


def test_the_service_tells_what_is_wrong(visit: Visit) -> None:
    visit.open("any-form")
    visit.page.get_by_label("App id").fill("1111111111111111111")
    visit.page.get_by_role("button", name="Show the form").click()
    visit.expect_status(re.compile("webapp not exists"))


@pytest.mark.parametrize("example", ["javascript", "typescript"])
def test_the_page_of_one_app_runs_live_to_the_picture(visit: Visit, example: str) -> None:
    visit.open(example)
    visit.page.locator("[name=prompt]").fill("a dog")
    visit.run()
    visit.expect_picture()
    sent = [(node["nodeId"], node["fieldValue"]) for node in visit.newest_task()["node_info"]]
    assert sent == [("15", "a dog"), ("16", "text, watermark, blurry")]
    assert not visit.asked(r"\?wait=")
    visit.check()


@pytest.mark.parametrize("example", ["javascript", "typescript"])
def test_without_events_the_page_waits_for_each_change(
    visit: Visit, simulator: Running, example: str
) -> None:
    # Long enough that the task is still running when the page has given up on events.
    http_client.patch(f"{simulator.url}/simulator/switches", json={"run_time": 2})
    visit.page.route("**/events", lambda route: route.abort())
    visit.open(example)
    visit.run()
    visit.expect_picture()
    assert visit.asked(r"\?wait=(25|30)$")


@pytest.mark.parametrize("example", ["javascript", "typescript"])
def test_a_running_task_is_cancelled(visit: Visit, simulator: Running, example: str) -> None:
    http_client.patch(f"{simulator.url}/simulator/switches", json={"run_time": 600})
    visit.open(example)
    visit.run()
    visit.page.get_by_role("button", name="Cancel").click()
    visit.expect_status("CANCELLED")
    expect(visit.page.get_by_role("button", name="Cancel")).to_be_disabled()
    visit.check()


def lose_response(route: Route) -> None:
    route.fetch()
    route.abort()


@pytest.mark.parametrize("example", ["javascript", "any-form"])
def test_a_submit_whose_response_was_lost_is_paid_once(
    visit: Visit, simulator: Running, example: str
) -> None:
    visit.page.route("**/submit_task", lose_response, times=1)
    visit.open(example)
    if example == "any-form":
        visit.show_form(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_status(re.compile("fetch"))
    visit.run()
    visit.expect_picture()
    assert paid_runs(simulator) == 1


def test_the_client_sends_a_submit_without_a_response_again_by_itself(
    visit: Visit, simulator: Running
) -> None:
    visit.page.route("**/submit_task", lose_response, times=1)
    visit.open("typescript")
    visit.run()
    visit.expect_picture()
    assert paid_runs(simulator) == 1


@pytest.mark.parametrize("example", ["javascript", "any-form"])
def test_run_after_a_failed_run_is_a_new_run(visit: Visit, simulator: Running, example: str) -> None:
    http_client.patch(f"{simulator.url}/simulator/switches", json={"faults": {"run": [FAULT | {"times": 1}]}})
    visit.open(example)
    if example == "any-form":
        visit.show_form(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_status(re.compile("^FAILED: "))
    visit.run()
    visit.expect_picture()


def paid_runs(simulator: Running) -> int:
    accepted: int = http_client.get(f"{simulator.url}/simulator/counters").json()["runs_accepted"]
    return accepted


def test_a_token_goes_along_from_another_origin(
    browser: Browser, pages_url: str, simulator: Running, tmp_path: Path
) -> None:
    settings = {**QUICK, "ACCESS_TOKENS": TOKEN}
    with start_service(simulator.url, tmp_path / "tasks.db", env=settings) as service:
        for example in ("javascript", "typescript"):
            visit = Visit(browser.new_page(), pages_url, service, simulator)
            visit.open(example)
            visit.run()
            visit.expect_status(re.compile(r"\(unauthorized\)$"))
            visit.page.get_by_label("Access token").fill(TOKEN)
            visit.run()
            visit.expect_picture()
            visit.page.close()


def test_a_reloaded_page_continues_its_run(visit: Visit, simulator: Running) -> None:
    http_client.patch(f"{simulator.url}/simulator/switches", json={"run_time": 1})
    visit.open("react")
    visit.show_form(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_status(re.compile("RUNNING|QUEUED"))
    visit.page.reload()
    visit.page.get_by_label("Service", exact=True).fill(visit.service.url)
    visit.expect_picture()
    assert paid_runs(simulator) == 1


def test_the_react_page_uploads_runs_and_cancels(visit: Visit, simulator: Running) -> None:
    visit.open("react")
    visit.show_form(IMAGE_TO_IMAGE)
    picture: FilePayload = {"name": "cat.png", "mimeType": "image/png", "buffer": PNG}
    with visit.page.expect_response("**/upload"):
        visit.page.get_by_label("上传图片").set_input_files(picture)
    visit.page.get_by_label("步数").fill("30")
    visit.page.get_by_label("面部修复").check()
    http_client.patch(f"{simulator.url}/simulator/switches", json={"run_time": 600})
    visit.run()
    visit.expect_status(re.compile("RUNNING|QUEUED"))
    visit.page.get_by_role("button", name="Cancel").click()
    visit.expect_status(re.compile("^CANCELLED"))
    values = {node["nodeId"]: node["fieldValue"] for node in visit.newest_task()["node_info"]}
    assert values == {"39": values["39"], "3": "30", "70": "true"}
    assert values["39"].startswith("api/")
    visit.check()


# Visitors with logins of their own


@pytest.fixture(scope="module")
def public_service(simulator: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    database = tmp_path_factory.mktemp("public") / "tasks.db"
    settings = {**QUICK, "JWT_SECRET": JWT_SECRET, "JWT_AUDIENCE": "authenticated"}
    with start_service(simulator.url, database, env=settings) as running:
        yield running


def start_sign_in_server(lifetime_s: int, *, port: int = 0) -> AbstractContextManager[Running]:
    port = port or free_port()
    env = {"JWT_SECRET": JWT_SECRET, "PORT": str(port), "LIFETIME_S": str(lifetime_s)}
    program = ["node", str(EXAMPLES / "logins/sign_in_server.mjs")]
    return start_program(program, port, "/token?user=probe", env=env)


@pytest.fixture
def sign_in(browser: Browser, pages_url: str, public_service: Running) -> Iterator[SignIn]:
    """Opens a page of its own and signs in by a name; tokens last for five minutes."""
    with start_sign_in_server(300) as login:
        yield partial(open_login_page, browser, pages_url, public_service.url, login.url)


def open_login_page(
    browser: Browser, pages_url: str, service_url: str, login_url: str, example: str, user: str
) -> Page:
    page = browser.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{pages_url}/logins/{example}/")
    page.get_by_label("Service").fill(service_url)
    page.get_by_label("Sign-in server").fill(login_url)
    page.get_by_label("Your name").fill(user)
    page.get_by_role("button", name="Sign in").click()
    return page


def run_on(page: Page, prompt: str) -> None:
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_role("button", name="Run").click()
    page.wait_for_function("document.querySelector('#results img')?.naturalWidth > 0")


@pytest.mark.parametrize("example", ["javascript", "typescript"])
def test_visitors_run_apps_and_see_their_own_tasks(sign_in: SignIn, example: str) -> None:
    ann, ben = sign_in(example, f"ann-{example}"), sign_in(example, f"ben-{example}")
    run_on(ann, "a cat")
    run_on(ben, "a dog")
    expect(ann.get_by_role("listitem")).to_have_text(["a cat: SUCCESS"])
    expect(ben.get_by_role("listitem")).to_have_text(["a dog: SUCCESS"])


@pytest.mark.parametrize("example", ["javascript", "typescript"])
def test_a_token_that_has_expired_is_renewed(
    browser: Browser, pages_url: str, public_service: Running, example: str
) -> None:
    port = free_port()
    with start_sign_in_server(-3600, port=port) as login:
        page = open_login_page(browser, pages_url, public_service.url, login.url, example, f"cid-{example}")
        expect(page.get_by_role("status")).to_have_text(re.compile(r"\(unauthorized\)$"))
    with start_sign_in_server(300, port=port):
        run_on(page, "a cat")


def test_the_types_of_the_pages_are_those_of_the_client() -> None:
    check = npm(EXAMPLES, "run", "--silent", "check")
    assert (check.returncode, check.stdout) == (0, "")
