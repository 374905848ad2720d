"""How the page fits screens, themes, slow links and assistive technology."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.processes import Running
from tests.web.conftest import ALWAYS_FAILS, DESKTOP, IMAGE_TO_IMAGE, PHONE, TEXT_TO_IMAGE, Visits

pytestmark = pytest.mark.processes

WEB = Path(__file__).parent.parent.parent / "web"
SIZES = ((1440, 900), (1024, 768), (390, 844), (360, 740))
BAR_HEIGHT = 56
VISITS = 3
SMALL_TARGETS = """minimum => [...document.querySelectorAll('a[href], button, input, select, summary')]
  .filter((element) => element.checkVisibility() && !element.closest('.visually-hidden, .skip'))
  .filter((element) => !element.matches('.visually-hidden, [type=radio], [type=range], .skip'))
  .map((element) => [element.outerHTML.slice(0, 120), element.getBoundingClientRect()])
  .filter(([, box]) => box.height < minimum || box.width < minimum)
  .map(([html, box]) => `${Math.round(box.width)}x${Math.round(box.height)} ${html}`)"""
SHIFTS = """() => new Promise((resolve) => {
  let total = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) total += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
  setTimeout(() => resolve(total), 300);
})"""


@pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size[0]))
def test_nothing_is_wider_than_the_screen(
    open_page: Visits, service: Running, locale: str, size: tuple[int, int]
) -> None:
    visit = open_page(service, locale=locale, viewport={"width": size[0], "height": size[1]})
    width = "document.documentElement.scrollWidth"
    assert visit.page.evaluate(width) == size[0]
    visit.open_app(IMAGE_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    assert visit.page.evaluate(width) == size[0]
    workspace = visit.page.locator(".workspace").bounding_box()
    assert workspace is not None
    assert workspace["y"] == BAR_HEIGHT


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_in_any_state(
    open_page: Visits, service: Running, viewport: dict[str, int]
) -> None:
    is_phone = viewport == PHONE
    visit = open_page(service, viewport=viewport)
    check = visit.check_accessibility_in_both_schemes
    expect(visit.page.locator(".card").first).to_be_visible()
    check()
    visit.open_app(IMAGE_TO_IMAGE)
    check()
    visit.page.get_by_label("Steps 1 – 60", exact=True).fill("x")
    visit.run()
    check(".form-panel")
    for menu in (".issues", ".batch", ".presets"):
        visit.page.click(f"{menu} .menu-button")
        check(menu)
        visit.page.keyboard.press("Escape")
    visit.page.click("#reset")
    if is_phone:
        visit.page.click(".narrow-only .menu-button")
        check(".narrow-only")
        visit.page.click(".narrow-only .menu-item:has-text('Code')")
    else:
        visit.page.click(".code-button")
    check("#code")
    visit.page.keyboard.press("Escape")
    visit.run()
    visit.expect_status("SUCCESS")
    if is_phone:
        visit.show_tab("Result")
    visit.expect_picture()
    check()
    visit.page.click("#task-body .picture")
    check("#viewer")
    visit.page.keyboard.press("Escape")
    if is_phone:
        visit.show_tab("History")
        check()
        visit.show_tab("Form")
    visit.open_app(ALWAYS_FAILS)
    visit.run()
    visit.expect_status("FAILED")
    if is_phone:
        visit.show_tab("Result")
    check()


def test_the_scheme_of_the_system_is_followed(open_page: Visits, service: Running) -> None:
    visit = open_page(service, color_scheme="dark")
    lightness = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    assert visit.page.evaluate(lightness) < 60
    visit.page.emulate_media(color_scheme="light")
    assert visit.page.evaluate(lightness) > 200


@pytest.mark.parametrize(("options", "minimum"), [({}, 24), ({"viewport": PHONE, "has_touch": True}, 44)])
def test_targets_are_large_enough(
    open_page: Visits, service: Running, options: dict[str, Any], minimum: int
) -> None:
    is_touch = bool(options)
    visit = open_page(service, is_mobile=is_touch, **options)
    expect(visit.page.locator(".card").first).to_be_visible()
    assert visit.page.evaluate(SMALL_TARGETS, minimum) == []
    visit.open_app(IMAGE_TO_IMAGE)
    assert visit.page.evaluate(SMALL_TARGETS, minimum) == []
    visit.run()
    visit.expect_status("SUCCESS")
    if is_touch:
        visit.show_tab("Result")
    visit.expect_picture()
    assert visit.page.evaluate(SMALL_TARGETS, minimum) == []


def test_reduced_motion_is_respected(open_page: Visits, service: Running) -> None:
    visit = open_page(service, reduced_motion="reduce")
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    durations = visit.page.evaluate(
        "document.getAnimations().map((animation) => animation.effect.getComputedTiming().duration)"
    )
    assert all(duration <= 1 for duration in durations)


def test_a_slow_link_shows_the_page_soon_and_nothing_shifts(browser: Browser, service: Running) -> None:
    # The fastest visit shows what the link takes; the others, what a busy machine adds.
    for _ in range(VISITS):
        page = visit_by_a_slow_link(browser, service)
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        if paint < 1500:
            break
        page.context.close()
    assert paint < 1500
    assert page.evaluate(SHIFTS) < 0.05
    page.goto(f"{service.url}/#/apps/{IMAGE_TO_IMAGE}")
    expect(page.locator("#run")).to_be_visible()
    page.click("#run")
    expect(page.locator("#task-card[data-status=SUCCESS] .picture img.loaded")).to_be_visible()
    assert page.evaluate(SHIFTS) < 0.05
    page.context.close()


def visit_by_a_slow_link(browser: Browser, service: Running) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    bytes_per_second = 1_600_000 / 8
    limits = {"offline": False, "latency": 150, "downloadThroughput": bytes_per_second}
    session.send("Network.emulateNetworkConditions", limits | {"uploadThroughput": bytes_per_second})
    page.goto(service.url)
    expect(page.locator(".card").first).to_be_visible()
    return page


def imports_of(file: Path, found: list[Path]) -> list[Path]:
    """The modules that a module needs before it can start, itself first."""
    if file in found:
        return found
    found.append(file)
    for name in re.findall(
        r"""(?m)(?:^|[};])\s*(?:import|export)\b[^;'"]*?from\s*['"](\.[^'"]+)""", file.read_text()
    ):
        imports_of((file.parent / name).resolve(), found)
    return found


def test_the_modules_of_the_first_screen_are_requested_at_once() -> None:
    needed = {f"/web/{path.relative_to(WEB)}" for path in imports_of(WEB / "main.js", [])}
    page = (WEB / "index.html").read_text()
    preloaded = set(re.findall(r'<link rel="modulepreload" href="([^"]+)"', page))
    assert preloaded == needed - {"/web/main.js"}


def test_what_is_sent_is_compressed_and_light(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    expect(visit.page.locator("#run")).to_be_visible()
    sizes = visit.page.evaluate(
        "performance.getEntriesByType('resource').filter(({ name }) => /\\/web\\/.*\\.(js|css)$/.test(name))"
        ".map(({ encodedBodySize, decodedBodySize }) => [encodedBodySize, decodedBodySize])"
    )
    assert sum(encoded for encoded, _ in sizes) < 120_000
    assert sum(encoded for encoded, _ in sizes) < 0.6 * sum(decoded for _, decoded in sizes)
