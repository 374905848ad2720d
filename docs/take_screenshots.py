"""Takes the screenshots and the recording of the page for the README: `python docs/take_screenshots.py`.

With names (`usage recording`) only those.
"""

import io
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.processes import start_service, start_simulator  # noqa: E402 - after the path to it is known

FOLDER = Path(__file__).parent / "screenshots"
TEXT_TO_IMAGE = "1992755951447109633"
IMAGE_TO_IMAGE = "1993104857600000002"
AUDIO = "1993104857600000003"
VIDEO = "1993104857600000004"
ALWAYS_FAILS = "1993104857600000005"
SIZES = {"1440": (1440, 900), "1024": (1024, 768), "390": (390, 844)}
# Enough for a screenshot of an interface, at a third of the size.
COLOURS = 256
FRAME_MS = 250
DAY_MS = 86_400_000
RECORDING = (1200, 750)
PROMPTS = (
    "a lighthouse at dawn, long exposure",
    "a friendly robot in a garden, watercolour",
    "paper boats on a canal, overcast light",
    "a red balloon above rooftops",
)


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: the part of the page, and the browser it is seen in."""

    name: str
    prepare: Callable[[Page], None]
    width: Literal["1440", "1024", "390"] = "1440"
    locale: Literal["zh-CN", "en-US"] = "en-US"
    scheme: Literal["light", "dark"] = "light"

    @property
    def file(self) -> Path:
        language = self.locale[:2]
        return FOLDER / f"{self.name}-{self.width}-{language}-{self.scheme}.png"


def gallery(page: Page) -> None:
    page.wait_for_selector(".card img.loaded")


def result(page: Page) -> None:
    open_app(page, IMAGE_TO_IMAGE)
    if page.locator("[data-history=closed]").count():
        page.click(".history-toggle")
    page.locator(".task-row", has_text="lighthouse").first.click()
    page.wait_for_selector("#task-body .picture img.loaded")


def fresh_app(page: Page) -> None:
    open_app(page, TEXT_TO_IMAGE)
    page.wait_for_selector(".example-cover img.loaded")


def running(page: Page) -> None:
    open_app(page, IMAGE_TO_IMAGE)
    upload_cover(page)
    page.click("#run")
    page.wait_for_selector("#task-card[data-status=RUNNING] progress[value]", state="attached")
    page.wait_for_timeout(1200)


def failed(page: Page) -> None:
    open_app(page, ALWAYS_FAILS)
    page.locator(".task-row:has(.status-icon.bad)").first.click()
    page.wait_for_selector("#task-card[data-status=FAILED]")


def code(page: Page) -> None:
    result(page)
    page.click(".code-button")
    page.click("#code .segments button:has-text('Python')")


def batch(page: Page) -> None:
    open_app(page, IMAGE_TO_IMAGE)
    upload_cover(page)
    page.click(".batch .menu-button")
    page.click(".batch-panel button:has-text('×4')")
    page.keyboard.press("Escape")
    page.click("#run")
    page.wait_for_selector("#task-card[data-status=SUCCESS] .picture img.loaded")
    page.wait_for_timeout(1500)


def usage(page: Page) -> None:
    page.evaluate("() => { location.hash = '#/usage'; }")
    page.wait_for_selector("#users")


def phone_form(page: Page) -> None:
    open_app(page, IMAGE_TO_IMAGE)


def phone_history(page: Page) -> None:
    open_app(page, IMAGE_TO_IMAGE)
    page.click(".tabs button:nth-child(3)")
    page.wait_for_selector(".task-row img.loaded")


def phone_result(page: Page) -> None:
    phone_history(page)
    page.locator(".task-row", has_text="lighthouse").first.click()
    page.wait_for_selector("#task-body .picture img.loaded")


SHOTS = (
    Shot("gallery", gallery),
    Shot("gallery", gallery, locale="zh-CN", scheme="dark"),
    Shot("gallery", gallery, width="390"),
    Shot("result", result),
    Shot("result", result, locale="zh-CN"),
    Shot("result", result, scheme="dark"),
    Shot("result", result, width="1024"),
    Shot("result", result, width="1024", locale="zh-CN", scheme="dark"),
    Shot("app", fresh_app, locale="zh-CN"),
    Shot("running", running),
    Shot("batch", batch, locale="zh-CN", scheme="dark"),
    Shot("failed", failed, scheme="dark"),
    Shot("code", code),
    Shot("usage", usage),
    Shot("usage", usage, width="390", locale="zh-CN", scheme="dark"),
    Shot("form", phone_form, width="390", locale="zh-CN"),
    Shot("form", phone_form, width="390", scheme="dark"),
    Shot("result", phone_result, width="390"),
    Shot("history", phone_history, width="390", locale="zh-CN", scheme="dark"),
)


def main(names: list[str]) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, start_simulator(run_time=4, slots=0) as simulator:
        service = start_service(simulator.url, Path(folder) / "tasks.db", env={"POLL_INTERVAL_S": "0.2"})
        with service as running_service, sync_playwright() as playwright:
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
            make_history(browser, running_service.url)
            make_usage(Path(folder) / "tasks.db", running_service.url)
            for shot in SHOTS:
                if not names or shot.name in names:
                    take(browser, running_service.url, shot)
            if not names or "recording" in names:
                record(browser, running_service.url)
            browser.close()


def new_page(browser: Browser, url: str, shot: Shot) -> Page:
    width, height = SIZES[shot.width]
    page = browser.new_page(
        locale=shot.locale,
        color_scheme=shot.scheme,
        viewport={"width": width, "height": height},
        has_touch=shot.width == "390",
    )
    # The second visit: the first one may have drawn the text in the system's own font.
    for _ in range(2):
        page.goto(url)
        page.wait_for_selector(".card img.loaded")
    return page


def make_history(browser: Browser, url: str) -> None:
    """A few tasks to be seen in the list."""
    page = new_page(browser, url, SHOTS[0])
    for webapp_id in (VIDEO, AUDIO, ALWAYS_FAILS, TEXT_TO_IMAGE):
        open_app(page, webapp_id)
        run(page)
    for prompt in PROMPTS:
        open_app(page, IMAGE_TO_IMAGE)
        page.get_by_label("Prompt", exact=True).fill(prompt)
        run(page)
    page.close()


def make_usage(database: Path, url: str) -> None:
    """Two users, and tasks of theirs that ended in the past month and have been deleted since."""
    for name, limits in (("ann", {"coins_per_month": 5000}), ("bo@example.com", {"max_active_tasks": 2})):
        httpx.post(f"{url}/users", json={"name": name, "limits": limits}).raise_for_status()
    now_ms = int(time.time() * 1000)
    rows = [
        {
            "created_at": "2026-01-01T00:00:00.000Z",
            "ended_ms": now_ms - day * DAY_MS,
            "status": "FAILED" if number % 9 == 0 else "SUCCESS",
            "webapp_id": (IMAGE_TO_IMAGE, VIDEO, TEXT_TO_IMAGE)[number % 3],
            "owner": ("ann", "bo@example.com", None)[number % 3],
            "account": "default",
            "coins_micros": (12 + 7 * number % 30) * 1_000_000,
            "run_seconds": 20.0 + number,
        }
        for day in range(30)
        for number in range(4 + (day * 7) % 11)
    ]
    names = ", ".join(rows[0])
    places = ", ".join(f":{name}" for name in rows[0])
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(f"INSERT INTO deleted_tasks ({names}) VALUES ({places})", rows)  # noqa: S608 - names of columns


def take(browser: Browser, url: str, shot: Shot) -> None:
    page = new_page(browser, url, shot)
    shot.prepare(page)
    page.mouse.move(0, 0)
    page.wait_for_timeout(600)
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(shot.file, optimize=True)
    print(f"{shot.file.relative_to(ROOT)}: {shot.file.stat().st_size // 1000} kB")
    page.close()


def record(browser: Browser, url: str) -> None:
    """From the gallery to a result, as an animated WebP."""
    width, height = RECORDING
    page = browser.new_page(locale="en-US", viewport={"width": width, "height": height})
    frames: list[Image.Image] = []

    def watch(milliseconds: int) -> None:
        for _ in range(max(1, milliseconds // FRAME_MS)):
            frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize((960, 600)))
            page.wait_for_timeout(FRAME_MS // 2)

    for _ in range(2):
        page.goto(url)
        page.wait_for_selector(".card img.loaded")
    watch(1500)
    open_app(page, IMAGE_TO_IMAGE)
    watch(1000)
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.fill("")
    for part in ("a lighthouse ", "in a storm, ", "oil on canvas"):
        prompt.type(part)
        watch(FRAME_MS)
    upload_cover(page)
    watch(750)
    page.click("#run")
    for _ in range(60):
        watch(FRAME_MS)
        if page.locator("#task-body .picture img.loaded").count():
            break
    watch(2000)
    path = FOLDER / "recording.webp"
    first, *others = frames
    first.save(path, save_all=True, append_images=others, duration=FRAME_MS, loop=0, quality=60, method=4)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")
    page.close()


def open_app(page: Page, webapp_id: str) -> None:
    page.evaluate("id => { location.hash = `#/apps/${id}`; }", webapp_id)
    page.wait_for_selector(f".form[data-app='{webapp_id}']", state="attached")
    page.wait_for_timeout(300)


def upload_cover(page: Page) -> None:
    cover = page.request.get(str(page.get_attribute(".switcher-cover img", "src"))).body()
    page.set_input_files(".media input", {"name": "garden.png", "mimeType": "image/png", "buffer": cover})
    page.wait_for_selector(".drop[data-state=uploaded]")


def run(page: Page) -> None:
    page.click("#run")
    page.wait_for_selector("#task-card:is([data-status=SUCCESS], [data-status=FAILED])", state="attached")


if __name__ == "__main__":
    main(sys.argv[1:])
