"""What the page's tests share: a browser on the page, the service and the simulator as real processes."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.browser import CHROMIUM, WAIT_MS, start_chromium
from tests.processes import Running, start_service, start_simulator

VENDOR = Path(__file__).parent.parent / "data" / "vendor"
TEXT_TO_IMAGE = "1992755951447109633"
IMAGE_TO_IMAGE = "1993104857600000002"
AUDIO = "1993104857600000003"
VIDEO = "1993104857600000004"
ALWAYS_FAILS = "1993104857600000005"
WITH_PASSWORD = "1993104857600000006"
QUICK = {"POLL_INTERVAL_S": "0.1", "POLL_INTERVAL_MAX_S": "0.2"}
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
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
# A frame goes by first: what was just opened begins its own in the next one.
AT_REST = """(async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const moving = () => document.getAnimations().filter(
    ({ effect, playState }) => effect.getTiming().iterations !== Infinity && playState === 'running');
  do {
    await frame();
    await frame();
    await Promise.allSettled(moving().map((animation) => animation.finished));
  } while (moving().length);
})()"""
# Only what is read of axe's report is put together; the styles are in the page already.
AXE = """([within, rules]) =>
  axe.run(within ?? document, { resultTypes: ['violations'], preload: false, ...rules })"""
CONTRAST = {"runOnly": ["color-contrast"]}
# One transparent pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


class Visit:
    """A person's browser on the page; it records what was requested and what went wrong."""

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

    def goto(self, hash_: str) -> None:
        """An address of the page, as by a link."""
        self.page.evaluate("hash => { location.hash = hash; }", hash_)

    def open_app(self, webapp_id: str) -> None:
        self.goto(f"#/apps/{webapp_id}")
        expect(self.page.locator(f".form[data-app='{webapp_id}']")).to_be_attached()

    def show_tab(self, name: str) -> None:
        """On a phone: one of the three views."""
        self.page.click(f".tabs button:has-text('{name}')")

    def run(self) -> None:
        self.page.click("#run")

    def expect_status(self, status: str) -> None:
        expect(self.page.locator(f"#task-card[data-status={status}]")).to_be_attached()

    def expect_picture(self) -> None:
        self.expect_status("SUCCESS")
        expect(self.page.locator("#task-body .picture img.loaded")).to_be_attached()

    def task(self) -> dict[str, Any]:
        """The newest task, as the service has it."""
        tasks: list[dict[str, Any]] = httpx.get(f"{self.service}/tasks?limit=1").json()["tasks"]
        return tasks[0]

    def value_of(self, field: str) -> str:
        """What was sent for a field such as `3.seed`."""
        sent: list[dict[str, str]] = self.task()["node_info"]
        return next(item["fieldValue"] for item in sent if f"{item['nodeId']}.{item['fieldName']}" == field)

    def submits(self) -> list[Request]:
        """The paid calls that the page made."""
        return [request for request in self.requests if "/submit_task" in request.url]

    def expect_problem_responses(self, *statuses: int) -> None:
        """The browser reports a response of 4xx or 5xx as an error; these were meant."""
        for status in statuses:
            found = [error for error in self.errors if f"status of {status}" in error]
            assert found
            self.errors.remove(found[0])

    def check_accessibility(self, within: str | None = None) -> None:
        """By axe: the whole page, or what has been opened `within` a page that was checked before."""
        self._check_by_axe(within, {})

    def check_accessibility_in_both_schemes(self, within: str | None = None) -> None:
        """Light, then dark: the scheme changes colours alone, so that only contrast is checked twice."""
        self.check_accessibility(within)
        self.page.emulate_media(color_scheme="dark")
        self._check_by_axe(within, CONTRAST)
        self.page.emulate_media(color_scheme="light")

    def _check_by_axe(self, within: str | None, rules: dict[str, Any]) -> None:
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate((VENDOR / "axe.min.js").read_text())
        # A dialog may still be on its way.
        expect(self.page.locator(within or "main")).to_be_visible()
        self.page.evaluate(AT_REST)
        found = self.page.evaluate(AXE, [within, rules])["violations"]
        assert [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]] == []

    def check(self) -> None:
        assert self.errors == []
        asked = {httpx.URL(request.url).netloc for request in self.requests if request.url.startswith("http")}
        assert asked <= self._hosts


class Visits:
    """Opens the page as often as a test asks, and checks every visit at its end."""

    def __init__(self, browser: Browser, simulator: Running) -> None:
        self._browser = browser
        self._simulator = simulator
        self._visits: list[Visit] = []

    def __call__(self, service: Running, *, locale: str = "en-US", **options: Any) -> Visit:
        settings = {"viewport": DESKTOP, "locale": locale} | options
        page = self._browser.new_context(**settings).new_page()
        page.set_default_timeout(WAIT_MS)
        self._visits.append(Visit(page, service.url, self._simulator.url))
        return self._visits[-1]

    def check(self) -> None:
        for visit in self._visits:
            visit.check()

    def close(self) -> None:
        for visit in self._visits:
            visit.page.context.close()


# Not for the session: while Playwright's loop is alive, no test of another package can run a loop of its own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium here: apt-get install chromium")
    with start_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[Running]:
    with start_simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: Running) -> Running:
    httpx.post(f"{shared_simulator.url}/simulator/reset").raise_for_status()
    switch(shared_simulator, queue_time=0, run_time=0.3, slots=0)
    return shared_simulator


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page") / "tasks.db"


@pytest.fixture(scope="session")
def shared_service(shared_simulator: Running, database: Path) -> Iterator[Running]:
    with start_service(shared_simulator.url, database, env=QUICK) as service:
        yield service


@pytest.fixture
def service(shared_service: Running, database: Path) -> Running:
    """Without any task: they start too slowly to have one for each test."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM tasks")
    return shared_service


@pytest.fixture
def open_page(browser: Browser, simulator: Running) -> Iterator[Visits]:
    visits = Visits(browser, simulator)
    try:
        yield visits
        visits.check()
    finally:
        visits.close()


def finish_tasks(simulator: Running) -> None:
    """What is queued or running has ended: a test sees it running for as long as it needs."""
    httpx.post(f"{simulator.url}/simulator/finish").raise_for_status()


def switch(simulator: Running, **switches: Any) -> None:
    httpx.patch(f"{simulator.url}/simulator/switches", json=switches).raise_for_status()
