"""Takes the README's screenshots of the page: `python docs/take_screenshots.py`."""

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.processes import start_service, start_simulator  # noqa: E402 - after the path to it is known

FOLDER = Path(__file__).parent / "screenshots"
TEXT_TO_IMAGE = "1992755951447109633"
IMAGE_TO_IMAGE = "1993104857600000002"
ALWAYS_FAILS = "1993104857600000005"
DESKTOP = (1360, 900)
PHONE = (390, 844)


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: who looks at it with what, and the app that is open."""

    name: str
    locale: Literal["zh-CN", "en-US"]
    scheme: Literal["light", "dark"]
    size: tuple[int, int]
    webapp_id: str
    scroll_to: str = "body"
    is_running: bool = False


SHOTS = (
    Shot("desktop-zh-light", "zh-CN", "light", DESKTOP, TEXT_TO_IMAGE),
    Shot("desktop-en-dark", "en-US", "dark", DESKTOP, IMAGE_TO_IMAGE),
    Shot("desktop-en-light", "en-US", "light", DESKTOP, IMAGE_TO_IMAGE, is_running=True),
    Shot("phone-zh-light", "zh-CN", "light", PHONE, TEXT_TO_IMAGE, "#task"),
    Shot("phone-en-dark", "en-US", "dark", PHONE, IMAGE_TO_IMAGE),
)


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, start_simulator(run_time=4) as simulator:
        quick = {"POLL_INTERVAL_S": "0.2"}
        service = start_service(simulator.url, Path(folder) / "tasks.db", env=quick)
        with service as running, sync_playwright() as playwright:
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
            make_history(browser, running.url)
            for shot in SHOTS:
                take(browser, running.url, shot)
            browser.close()


def make_history(browser: Browser, url: str) -> None:
    """A few tasks to be seen in the list."""
    page = browser.new_page(locale="zh-CN")
    page.goto(url)
    for webapp_id in (TEXT_TO_IMAGE, ALWAYS_FAILS, IMAGE_TO_IMAGE):
        open_app(page, webapp_id)
        run(page)
    page.close()


def take(browser: Browser, url: str, shot: Shot) -> None:
    width, height = shot.size
    page = browser.new_page(
        locale=shot.locale, color_scheme=shot.scheme, viewport={"width": width, "height": height}
    )
    page.goto(url)
    # Each app once, so that the list knows its name.
    for webapp_id in (ALWAYS_FAILS, IMAGE_TO_IMAGE, TEXT_TO_IMAGE, shot.webapp_id):
        open_app(page, webapp_id)
    if shot.is_running:
        cover = page.request.get(str(page.get_attribute("#app-cover img", "src"))).body()
        page.set_input_files(".media input", {"name": "garden.png", "mimeType": "image/png", "buffer": cover})
        page.wait_for_selector(".drop[data-state=uploaded]")
    run(page, until=".pill.running" if shot.is_running else ".pill.good")
    page.mouse.move(0, 0)
    page.locator(shot.scroll_to).evaluate("element => element.scrollIntoView()")
    # For the pictures and, of a running task, some of its progress.
    page.wait_for_timeout(1500)
    path = FOLDER / f"{shot.name}.png"
    page.screenshot(path=path)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")
    page.close()


def open_app(page: Page, webapp_id: str) -> None:
    page.fill("#app-id", webapp_id)
    page.press("#app-id", "Enter")
    page.wait_for_selector(f".app-id:has-text('{webapp_id}')")


def run(page: Page, *, until: str = ":is(.pill.good, .pill.bad)") -> None:
    page.click("#run")
    page.wait_for_selector("#task-card:not([inert]) :is(.pill.waiting, .pill.running)")
    page.wait_for_selector(f"#task-status {until}")


if __name__ == "__main__":
    main()
