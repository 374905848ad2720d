"""The page in a real browser, against the service and the simulator as processes of their own."""

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, expect, sync_playwright

from tests.processes import Running, free_port, start_service, start_simulator

pytestmark = pytest.mark.processes

VENDOR = Path(__file__).parent.parent / "data" / "vendor"
TEXT_TO_IMAGE = "1992755951447109633"
IMAGE_TO_IMAGE = "1993104857600000002"
AUDIO = "1993104857600000003"
ALWAYS_FAILS = "1993104857600000005"
WITH_PASSWORD = "1993104857600000006"
QUICK = {"POLL_INTERVAL_S": "0.1", "POLL_INTERVAL_MAX_S": "0.2"}
PHONE = {"width": 360, "height": 740}
DROP = """([selector, name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, { type }));
  const travels = { bubbles: true, cancelable: true };
  const event = selector
    ? new DragEvent('drop', { ...travels, dataTransfer: files })
    : new ClipboardEvent('paste', { ...travels, clipboardData: files });
  (document.querySelector(selector) ?? document).dispatchEvent(event);
}"""
# Colours are compared at rest, not half-way through a transition.
# One that is cancelled, as when its element goes, is at rest too.
AT_REST = """Promise.allSettled(document.getAnimations()
  .filter((animation) => animation.effect.getTiming().iterations !== Infinity)
  .map((animation) => animation.finished))"""
# One transparent pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("no Chromium here: apt-get install chromium", allow_module_level=True)


class Visit:
    """A person's browser on the page; it remembers what was asked for and what went wrong."""

    def __init__(self, page: Page, service: str, simulator: str) -> None:
        self.page = page
        self.service = service
        self.requests: list[Request] = []
        self.errors: list[str] = []
        self._hosts = {httpx.URL(service).netloc, httpx.URL(simulator).netloc}
        page.on("request", lambda request: self.requests.append(request))
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(service)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def open_app(self, webapp_id: str) -> None:
        self.page.fill("#app-id", f"https://www.runninghub.cn/ai-detail/{webapp_id}?inviteCode=1a2b")
        self.page.press("#app-id", "Enter")
        expect(self.page.locator(".app-id")).to_have_text(f"ID {webapp_id}")

    def run(self) -> None:
        self.page.click("#run")

    def expect_status(self, status: str) -> None:
        expect(self.page.locator(f"#task-card[data-status={status}]")).to_be_visible(timeout=10_000)

    def expect_picture(self) -> None:
        self.expect_status("SUCCESS")
        picture = self.page.locator("#task-body .picture img").first
        expect(picture).to_be_visible()
        self.page.wait_for_function("document.querySelector('#task-body .picture img').naturalWidth > 0")

    def task(self) -> dict[str, Any]:
        """The newest task, as the service has it."""
        tasks: list[dict[str, Any]] = httpx.get(f"{self.service}/tasks?limit=1").json()["tasks"]
        return tasks[0]

    def value_of(self, field: str) -> str:
        """What was sent for a field such as `3.seed`."""
        sent: list[dict[str, str]] = self.task()["node_info"]
        return next(item["fieldValue"] for item in sent if f"{item['nodeId']}.{item['fieldName']}" == field)

    def expect_problem_answers(self, *statuses: int) -> None:
        """The browser reports an answer of 4xx or 5xx as an error; these were meant."""
        for status in statuses:
            found = [error for error in self.errors if f"status of {status}" in error]
            assert found
            self.errors.remove(found[0])

    def check_accessibility(self) -> None:
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate((VENDOR / "axe.min.js").read_text())
        self.page.evaluate(AT_REST)
        found = self.page.evaluate("axe.run()")["violations"]
        assert [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]] == []

    def check(self) -> None:
        assert self.errors == []
        asked = {httpx.URL(request.url).netloc for request in self.requests if request.url.startswith("http")}
        assert asked <= self._hosts


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "CI needs Chromium"
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Running]:
    with start_simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: Running) -> Running:
    httpx.post(f"{shared_simulator.url}/simulator/reset").raise_for_status()
    switch(shared_simulator, queue_time=0, run_time=0.3, slots=0)
    return shared_simulator


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page") / "tasks.db"


@pytest.fixture(scope="module")
def shared_service(shared_simulator: Running, database: Path) -> Iterator[Running]:
    with start_service(shared_simulator.url, database, env=QUICK) as service:
        yield service


@pytest.fixture
def service(shared_service: Running, database: Path) -> Running:
    """Without any task: they start too slowly to have one for each test."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM tasks")
    return shared_service


class Visits:
    """Opens the page as often as a test asks, and checks every visit at its end."""

    def __init__(self, browser: Browser, simulator: Running) -> None:
        self._browser = browser
        self._simulator = simulator
        self._visits: list[Visit] = []

    def __call__(self, service: Running, *, locale: str = "en-US", **options: Any) -> Visit:
        page = self._browser.new_context(locale=locale, **options).new_page()
        page.set_default_timeout(8000)
        self._visits.append(Visit(page, service.url, self._simulator.url))
        return self._visits[-1]

    def check(self) -> None:
        for visit in self._visits:
            visit.check()

    def close(self) -> None:
        for visit in self._visits:
            visit.page.context.close()


@pytest.fixture
def open_page(browser: Browser, simulator: Running) -> Iterator[Visits]:
    visits = Visits(browser, simulator)
    try:
        yield visits
        visits.check()
    finally:
        visits.close()


def switch(simulator: Running, **switches: Any) -> None:
    httpx.patch(f"{simulator.url}/simulator/switches", json=switches).raise_for_status()


@pytest.mark.parametrize(
    ("locale", "lang", "run", "done"), [("zh-CN", "zh-CN", "运行", "完成"), ("en-US", "en", "Run", "Done")]
)
def test_three_actions_lead_from_nothing_to_a_picture(
    open_page: Visits, service: Running, locale: str, lang: str, run: str, done: str
) -> None:
    visit = open_page(service, locale=locale)
    visit.page.click("#apps button")
    visit.page.click(f"#app-form button:has-text('{run}')")
    visit.expect_picture()
    expect(visit.page.locator("html")).to_have_attribute("lang", lang)
    expect(visit.page.locator("#task-status")).to_have_text(done)
    expect(visit.page.locator("#tasks li")).to_have_count(1)
    assert visit.task()["webapp_id"] == TEXT_TO_IMAGE


def test_the_language_switches_in_place_and_is_remembered(
    open_page: Visits, simulator: Running, service: Running
) -> None:
    visit = open_page(service, locale="zh-CN")
    visit.open_app(IMAGE_TO_IMAGE)
    visit.page.get_by_label("提示词", exact=True).fill("一只猫")
    visit.page.click("#language")
    expect(visit.page.get_by_label("Prompt", exact=True)).to_have_value("一只猫")
    expect(visit.page.locator("option[value='1']")).to_have_text("User input content")
    visit.page.reload()
    expect(visit.page.locator("#run")).to_have_text("Run")


def test_a_picture_opens_in_full_view_and_gives_focus_back(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    visit.page.click("#task-body .picture")
    expect(visit.page.locator("#viewer img")).to_be_visible()
    assert visit.page.get_attribute("#viewer-download", "href") == visit.task()["result_data"][0]["fileUrl"]
    visit.page.keyboard.press("Escape")
    expect(visit.page.locator("#viewer")).to_be_hidden()
    expect(visit.page.locator("#task-body .picture")).to_be_focused()


def test_other_results_have_a_player_or_a_link(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(AUDIO)
    visit.run()
    visit.expect_status("SUCCESS")
    expect(visit.page.locator("#task-body audio")).to_be_visible()
    link = visit.page.locator("#task-body a")
    assert link.get_attribute("rel") == "noreferrer"
    expect(visit.page.locator("#task-body .note")).to_contain_text("end after about a day")


@pytest.mark.parametrize("target", [".media .drop", None], ids=["drop", "paste"])
def test_a_file_is_uploaded_by_drop_and_by_paste(
    open_page: Visits, service: Running, target: str | None
) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    expect(visit.page.locator(".media .badge")).to_have_text("Sample")
    visit.page.evaluate(DROP, [target, "cat.png", "image/png", PIXEL])
    expect(visit.page.locator(".media-status")).to_have_text("Uploaded cat.png")
    expect(visit.page.locator(".preview img")).to_be_visible()
    visit.run()
    visit.expect_picture()
    assert re.fullmatch(r"api/[0-9a-f]{64}\.png", visit.value_of("39.image"))
    expect(visit.page.locator(".warning")).to_be_hidden()


def test_the_authors_sample_is_marked_and_warned_about(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    visit.run()
    expect(visit.page.locator(".media .warning")).to_contain_text("author’s sample file")
    visit.expect_status("SUCCESS")


def test_a_refused_upload_says_why(open_page: Visits, service: Running, simulator: Running) -> None:
    switch(simulator, unsupported_dialect="301")
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    visit.page.set_input_files(
        ".media input", {"name": "a.exe", "mimeType": "application/x-dosexec", "buffer": b"MZ"}
    )
    expect(visit.page.locator(".media .problem")).to_contain_text("does not take this kind of file")
    visit.run()
    expect(visit.page.locator(".media .problem")).to_contain_text("Choose it again")
    visit.expect_problem_answers(415)


def test_a_seed_beyond_what_javascript_counts_stays_exact(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    seed = visit.page.get_by_label("Seed", exact=True)
    seed.fill("18446744073709551615")
    visit.run()
    visit.expect_status("SUCCESS")
    assert visit.value_of("3.seed") == "18446744073709551615"
    visit.page.click("button[aria-label='Random: Seed']")
    assert re.fullmatch(r"\d{1,16}", seed.input_value())


def test_a_value_out_of_bounds_is_marked_before_anything_is_sent(open_page: Visits, service: Running) -> None:
    visit = open_page(service, viewport=PHONE)
    visit.open_app(IMAGE_TO_IMAGE)
    steps = visit.page.get_by_label("Steps 1 – 60", exact=True)
    steps.fill("61")
    visit.run()
    expect(steps).to_be_focused()
    expect(steps).to_have_accessible_description("Must be at most 60.")
    edges = "element => [element.getBoundingClientRect().top, element.getBoundingClientRect().bottom]"
    assert steps.evaluate(edges)[1] <= visit.page.locator(".run-bar").evaluate(edges)[0]
    steps.fill("12")
    expect(steps).not_to_have_attribute("aria-invalid", "true")
    visit.page.click("#reset")
    expect(steps).to_have_value("20")
    assert not [request for request in visit.requests if request.url.endswith("/submit_task")]


def test_a_problem_stands_next_to_the_field_it_names(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    refusal = {
        "code": "invalid_node_info",
        "detail": "…",
        "errors": [{"nodeId": "15", "fieldName": "text", "msg": "Too long."}],
    }
    visit.page.route("**/submit_task", lambda route: route.fulfill(status=422, json=refusal))
    visit.run()
    prompt = visit.page.get_by_label("Positive prompt (English)")
    expect(prompt).to_be_focused()
    expect(prompt).to_have_accessible_description("Too long.")
    expect(visit.page.locator("#form-alert")).to_contain_text("nothing was submitted")
    visit.expect_problem_answers(422)


def test_a_lost_answer_is_asked_for_again_with_the_same_key(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    keys: list[str] = []

    def lose_the_first(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.abort()
        else:
            route.continue_()

    visit.page.route("**/submit_task", lose_the_first)
    for _ in range(3):
        visit.run()
        expect(visit.page.locator("#run")).to_be_enabled()
    assert keys[0] == keys[1] != keys[2]
    visit.expect_picture()
    assert visit.errors.pop().endswith("net::ERR_FAILED")


def test_an_app_with_a_password_asks_for_it(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(WITH_PASSWORD)
    visit.page.get_by_label("Access password").fill("open-sesame")
    visit.run()
    visit.expect_picture()


def test_an_unknown_app_is_said_to_be_unknown(open_page: Visits, service: Running) -> None:
    visit = open_page(service, locale="zh-CN")
    visit.page.fill("#app-id", "12")
    visit.page.press("#app-id", "Enter")
    expect(visit.page.locator("#picker-alert")).to_contain_text("RunningHub 找不到这个应用")
    visit.page.fill("#app-id", "no number at all")
    visit.page.press("#app-id", "Enter")
    expect(visit.page.locator("#picker-alert")).to_contain_text("这里面没有应用编号")
    visit.expect_problem_answers(404)


def test_a_failing_task_says_where_it_broke(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(ALWAYS_FAILS)
    visit.run()
    visit.expect_status("FAILED")
    expect(visit.page.locator("#task-body .alert")).to_contain_text(
        "At node 3 KSampler: Allocation on device"
    )


def test_a_full_queue_is_a_wait_and_no_error(open_page: Visits, service: Running, simulator: Running) -> None:
    switch(simulator, slots=1, run_time=1)
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_status("RUNNING")
    visit.run()
    visit.expect_status("PENDING")
    expect(visit.page.locator("#progress-text")).to_contain_text("Number 1 in the queue")
    visit.expect_picture()


def test_a_running_task_is_cancelled(open_page: Visits, service: Running, simulator: Running) -> None:
    switch(simulator, run_time=60)
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_status("RUNNING")
    visit.page.click("#task-actions button:has-text('Cancel')")
    visit.expect_status("CANCELLED")
    expect(visit.page.locator("#task-heading")).to_be_focused()
    expect(visit.page.locator("#tasks li").first).to_contain_text("Cancelled")


def test_a_reload_in_the_middle_loses_nothing(
    open_page: Visits, service: Running, simulator: Running
) -> None:
    switch(simulator, run_time=1.5)
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    prompt = visit.page.get_by_label("Positive prompt (English)")
    prompt.fill("a lighthouse")
    visit.run()
    visit.expect_status("RUNNING")
    visit.page.reload()
    visit.expect_status("RUNNING")
    expect(prompt).to_have_value("a lighthouse")
    visit.expect_picture()


def test_a_restart_of_the_service_is_lived_through(
    open_page: Visits, simulator: Running, tmp_path: Path
) -> None:
    switch(simulator, run_time=60)
    port = free_port()
    with start_service(simulator.url, tmp_path / "tasks.db", env=QUICK, port=port) as service:
        visit = open_page(service)
        visit.open_app(TEXT_TO_IMAGE)
        visit.run()
        visit.expect_status("RUNNING")
    expect(visit.page.locator("#connection")).to_be_visible()
    with start_service(simulator.url, tmp_path / "tasks.db", env=QUICK, port=port):
        expect(visit.page.locator("#connection")).to_be_hidden(timeout=15_000)
        visit.page.click("#task-actions button:has-text('Cancel')")
        visit.expect_status("CANCELLED")
    visit.errors.clear()


def test_a_task_is_followed_without_a_stream(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.page.route("**/events", lambda route: route.abort())
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    assert [request for request in visit.requests if "?wait=" in request.url]
    visit.errors.clear()


@pytest.mark.parametrize("word", ["id", "resubmit"])
def test_a_submit_without_an_answer_is_settled(
    open_page: Visits, service: Running, simulator: Running, word: str
) -> None:
    switch(simulator, faults={"run": {"kind": "lost_reply", "times": 1}})
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_status("SUBMIT_UNKNOWN")
    expect(visit.page.locator("#task-body .alert")).to_contain_text("It may be running and cost money")
    visit.check_accessibility()
    if word == "id":
        started = httpx.get(f"{simulator.url}/simulator/tasks").json()[0]
        visit.page.fill("#runninghub-id", started["taskId"])
        visit.page.click("text=Follow it")
    else:
        visit.page.click("#task-body >> text=Submit again")
        expect(visit.page.locator("#confirm")).to_contain_text("cost twice")
        visit.check_accessibility()
        visit.page.click("#confirm-yes")
    visit.expect_picture()
    visit.expect_problem_answers(504)


def test_values_of_an_earlier_task_come_back_into_the_form(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    prompt = visit.page.get_by_label("Positive prompt (English)")
    prompt.fill("a red balloon")
    visit.run()
    visit.expect_picture()
    visit.open_app(AUDIO)
    visit.page.click("#tasks li:has-text('a red balloon') button")
    visit.page.click("#task-actions button:has-text('Use these values again')")
    expect(prompt).to_have_value("a red balloon")


def test_earlier_tasks_are_filtered_and_come_in_pages(open_page: Visits, service: Running) -> None:
    for number in range(14):
        node = {"nodeId": "15", "fieldName": "text", "fieldType": "STRING", "fieldValue": f"number {number}"}
        body = {"webappId": ALWAYS_FAILS if number == 0 else TEXT_TO_IMAGE, "nodeInfoList": [node]}
        httpx.post(f"{service.url}/submit_task", json=body).raise_for_status()
    visit = open_page(service)
    rows = visit.page.locator("#tasks li")
    expect(rows).to_have_count(12)
    visit.page.click("#load-more")
    expect(rows).to_have_count(14)
    expect(visit.page.locator("#load-more")).to_be_hidden()
    expect(visit.page.locator("#tasks .pill.good")).to_have_count(13, timeout=10_000)
    visit.page.select_option("#filter", "bad")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("number 0")


def test_what_a_result_says_never_becomes_code(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    task = visit.task() | {
        "id": "evil",
        "node_info": [
            {
                "nodeId": "1",
                "fieldName": "a",
                "fieldType": "STRING",
                "fieldValue": "<img src=x onerror=alert(1)>",
            }
        ],
        "result_data": [
            {"fileUrl": "javascript:alert(1)", "fileType": "png"},
            {"text": "<script>alert(1)</script>"},
        ],
    }
    visit.page.route("**/tasks?*", lambda route: route.fulfill(json={"tasks": [task], "next_cursor": None}))
    visit.page.reload()
    visit.page.click("#tasks li:has-text('<img src=x') button")
    expect(visit.page.locator("#task-body pre")).to_have_text("<script>alert(1)</script>")
    assert visit.page.locator("a[href^='javascript'], img[src^='javascript'], #task-body script").count() == 0


def test_the_token_is_asked_for_once_and_sent_as_a_header(
    open_page: Visits, simulator: Running, tmp_path: Path
) -> None:
    with start_service(
        simulator.url, tmp_path / "tasks.db", env=QUICK | {"ACCESS_TOKENS": "sesame"}
    ) as service:
        visit = open_page(service)
        visit.page.fill("#token-input", "wrong")
        visit.page.keyboard.press("Enter")
        expect(visit.page.locator("#token-problem")).to_contain_text("does not accept")
        visit.check_accessibility()
        visit.page.fill("#token-input", "sesame")
        visit.page.keyboard.press("Enter")
        visit.page.click("#apps button")
        visit.run()
        visit.expect_picture()
        visit.page.reload()
        visit.expect_picture()
        assert not [request for request in visit.requests if "sesame" in request.url]
        visit.page.click("#forget")
        expect(visit.page.locator("#token")).to_be_visible()
    visit.errors.clear()


@pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
def test_nothing_is_wider_than_a_phone(open_page: Visits, service: Running, locale: str) -> None:
    visit = open_page(service, locale=locale, viewport=PHONE)
    visit.open_app(IMAGE_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    expect(visit.page.locator("#task-body .picture")).to_be_in_viewport()
    assert visit.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_light_and_dark(open_page: Visits, service: Running, scheme: str) -> None:
    visit = open_page(service, color_scheme=scheme)
    visit.check_accessibility()
    visit.open_app(IMAGE_TO_IMAGE)
    visit.page.get_by_label("Steps 1 – 60", exact=True).fill("x")
    visit.run()
    visit.check_accessibility()
    visit.page.click("#reset")
    visit.run()
    visit.check_accessibility()
    visit.expect_picture()
    visit.check_accessibility()
    visit.page.click("#task-body .picture")
    visit.check_accessibility()
    visit.page.keyboard.press("Escape")
    visit.open_app(ALWAYS_FAILS)
    visit.run()
    visit.expect_status("FAILED")
    visit.check_accessibility()
    lightness = visit.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(lightness) < 60) is (scheme == "dark")


def test_the_keyboard_is_enough(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    keyboard = visit.page.keyboard
    tab_to(visit.page, "#app-id")
    keyboard.type(TEXT_TO_IMAGE)
    keyboard.press("Enter")
    expect(visit.page.locator("#app-title")).to_be_focused()
    tab_to(visit.page, "#run")
    keyboard.press("Enter")
    visit.expect_picture()
    tab_to(visit.page, "#task-body .picture")
    keyboard.press("Enter")
    expect(visit.page.locator("#viewer")).to_be_visible()
    keyboard.press("Escape")
    expect(visit.page.locator("#task-body .picture")).to_be_focused()
    tab_to(visit.page, "#tasks button")
    keyboard.press("Enter")
    expect(visit.page.locator("#task-heading")).to_be_focused()


def tab_to(page: Page, selector: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached with the Tab key")


def test_changes_of_state_are_announced(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    expect(visit.page.locator("#announcer")).to_have_text("Done", timeout=10_000)


def test_the_page_is_light_and_quick(open_page: Visits, service: Running) -> None:
    web = Path(__file__).parent.parent.parent / "web"
    assert sum(file.stat().st_size for file in web.iterdir() if file.is_file()) < 150_000
    visit = open_page(service)
    paints = visit.page.evaluate("performance.getEntriesByType('paint').map((paint) => paint.startTime)")
    assert max(paints) < 1000
