"""The result in a real browser: viewer, full view, tools, comparison."""

import zipfile

import pytest
from playwright.sync_api import expect

from tests.processes import Running
from tests.web.conftest import AUDIO, DROP, IMAGE_TO_IMAGE, PIXEL, TEXT_TO_IMAGE, VIDEO, Visits

pytestmark = pytest.mark.processes


def test_a_picture_opens_in_full_view_and_gives_focus_back(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    visit.page.click("#task-body .picture")
    expect(visit.page.locator("#viewer img")).to_be_visible()
    visit.page.keyboard.press("Escape")
    expect(visit.page.locator("#viewer")).to_be_hidden()
    expect(visit.page.locator("#task-body .picture")).to_be_focused()


def test_a_portrait_fits_the_screen(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    shape = visit.page.locator("#task-body .picture img").evaluate(
        "image => [image.naturalHeight > image.naturalWidth, image.clientWidth / image.clientHeight,"
        " image.naturalWidth / image.naturalHeight]"
    )
    assert shape[0]
    assert shape[1] == pytest.approx(shape[2], rel=0.02)
    expect(visit.page.locator("#task-body .picture img")).to_be_in_viewport(ratio=1)


def test_other_results_have_a_player(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    for webapp_id, player in ((AUDIO, "audio"), (VIDEO, "video")):
        visit.open_app(webapp_id)
        visit.run()
        visit.expect_status("SUCCESS")
        expect(visit.page.locator(f"#task-body {player}")).to_be_visible()
        visit.check_accessibility()


def test_several_results_are_side_by_side(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    items = visit.page.locator("#outputs .strip-item")
    expect(items).to_have_count(2)
    items.nth(1).click()
    expect(visit.page.locator("#task-body .picture")).to_have_count(0)
    expect(items.nth(1)).to_have_attribute("aria-pressed", "true")


def test_a_link_to_a_task_is_copied(open_page: Visits, service: Running) -> None:
    visit = open_page(service, permissions=["clipboard-read", "clipboard-write"])
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    visit.page.click(".toolbar [aria-label='Copy link']")
    expect(visit.page.locator("#announcer")).to_have_text("Link copied")
    link = visit.page.evaluate("navigator.clipboard.readText()")
    assert link == f"{service.url}/#/tasks/{visit.task()['id']}"


def test_results_are_downloaded_under_a_readable_name_one_or_all(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    visit.page.get_by_label("Prompt", exact=True).fill("a cat/dog: asleep")
    visit.run()
    visit.expect_picture()
    with visit.page.expect_download() as one:
        visit.page.click(".toolbar .download")
    assert one.value.suggested_filename == "a cat dog asleep 1.png"
    assert one.value.path().read_bytes().startswith(b"\x89PNG")
    # The text is as small as its task says; until the copies have ended, their sizes are not known.
    expect(visit.page.locator(".note")).to_have_count(0, timeout=10_000)
    with visit.page.expect_download() as everything:
        visit.page.click("[aria-label='Download all 2']")
    assert everything.value.suggested_filename == "a cat dog asleep.zip"
    names = zipfile.ZipFile(everything.value.path()).namelist()
    assert [name.rpartition(".")[2] for name in names] == ["png", "txt"]
    assert visit.page.url.endswith(visit.task()["id"])


def test_a_result_becomes_an_input_by_button_and_by_drag(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    visit.page.click(".use-as-input")
    expect(visit.page.locator(".media .preview img")).to_be_visible()
    expect(visit.page.locator(".media .badge")).to_have_count(0)
    visit.page.click("#reset")
    expect(visit.page.locator(".media .badge")).to_have_count(1)
    visit.page.drag_and_drop("#task-body .picture", ".media .drop")
    expect(visit.page.locator(".media .preview img")).to_be_visible()


def test_input_and_output_are_compared_with_a_slider(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    visit.page.evaluate(DROP, [".media .drop", "cat.png", "image/png", PIXEL])
    expect(visit.page.locator(".media-status")).to_have_text("Uploaded cat.png")
    visit.run()
    visit.expect_picture()
    visit.page.click(".compare-menu .menu-button")
    visit.check_accessibility()
    visit.page.click(".compare-choices button:has-text('Input')")
    slider = visit.page.get_by_label("Divider of the comparison")
    slider.focus()
    visit.page.keyboard.press("ArrowRight")
    clip = visit.page.locator(".compare-above").evaluate("element => element.style.clipPath")
    assert clip == "inset(0px 49% 0px 0px)"
    visit.check_accessibility()
    visit.page.click("[aria-label='End comparison']")
    expect(visit.page.locator("#task-body .picture")).to_be_visible()
