"""The list of earlier tasks in a real browser: pages, filters, search, deletion, ten thousand of them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.processes import Running
from tests.web.conftest import ALWAYS_FAILS, AUDIO, PHONE, TEXT_TO_IMAGE, Visits

pytestmark = pytest.mark.processes

ROWS = "#tasks .task-row"
NEWEST = 10_000_000
UNIQUE = ("seq", "id", "created_at", "runninghub_task_id", "node_info")


def prompt_node(text: str) -> dict[str, str]:
    return {"nodeId": "15", "fieldName": "text", "fieldType": "STRING", "fieldValue": text}


def submit(service: Running, text: str, webapp_id: str = TEXT_TO_IMAGE) -> None:
    body = {"webappId": webapp_id, "nodeInfoList": [prompt_node(text)]}
    httpx.post(f"{service.url}/submit_task", json=body).raise_for_status()


def store_many(database: Path, count: int) -> None:
    """Final tasks as copies of the one that is there, each a minute older."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.row_factory = sqlite3.Row
        # Pages follow `seq`: the task that is there stays the newest.
        connection.execute("UPDATE tasks SET seq = ?", [NEWEST])
        row = dict(connection.execute("SELECT * FROM tasks LIMIT 1").fetchone())
        kept = {name: value for name, value in row.items() if name not in UNIQUE}
        columns = [*UNIQUE, *kept]
        statement = f"INSERT INTO tasks ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - names of columns
        connection.executemany(statement, (old_row(number, row, kept) for number in range(1, count + 1)))


def old_row(number: int, row: dict[str, Any], kept: dict[str, Any]) -> list[Any]:
    own = {
        "seq": NEWEST - number,
        "id": f"{number:032x}",
        "created_at": older(row["created_at"], number),
        "runninghub_task_id": str(10**18 + number),
        "node_info": json.dumps([prompt_node(f"number {number}")]),
    }
    return [*(own[name] for name in UNIQUE), *kept.values()]


def older(time: Any, minutes: int) -> Any:
    return time - minutes * 60_000 if isinstance(time, int) else time


def test_earlier_tasks_are_filtered_by_status_and_app(open_page: Visits, service: Running) -> None:
    for number in range(3):
        submit(service, f"number {number}")
    submit(service, "it breaks", ALWAYS_FAILS)
    visit = open_page(service)
    for webapp_id in (AUDIO, ALWAYS_FAILS, TEXT_TO_IMAGE):
        visit.open_app(webapp_id)
    expect(visit.page.locator(ROWS)).to_have_count(4)
    expect(visit.page.locator("#tasks .status-icon.bad").first).to_be_visible()
    visit.page.click(".filters .menu-button")
    visit.page.select_option("[data-filter=status]", "bad")
    expect(visit.page.locator(ROWS)).to_have_count(1)
    expect(visit.page.locator(ROWS)).to_contain_text("it breaks")
    visit.page.select_option("[data-filter=status]", "all")
    visit.page.fill("[data-filter=to]", "2020-01-01")
    expect(visit.page.locator("#history-empty")).to_have_text("No task matches.")
    visit.page.click(".filter-panel >> text=Clear filters")
    expect(visit.page.locator(ROWS)).to_have_count(4)


def test_prompts_and_previews_come_from_the_service(open_page: Visits, service: Running) -> None:
    submit(service, "a lighthouse at dawn")
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    expect(visit.page.locator(ROWS)).to_contain_text("a lighthouse at dawn")
    expect(visit.page.locator("#tasks .thumb img.loaded")).to_be_visible()
    expect(visit.page.locator("#tasks h3")).to_have_text("Today")


def test_inputs_of_an_earlier_task_are_seen_without_touching_the_form(
    open_page: Visits, service: Running
) -> None:
    submit(service, "a red balloon")
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    prompt = visit.page.get_by_label("Positive prompt (English)")
    prompt.fill("what I was typing")
    visit.page.click(ROWS)
    visit.page.click("#task-actions >> text=Inputs")
    expect(visit.page.locator("#inputs")).to_contain_text("Positive prompt (English)")
    expect(visit.page.locator("#inputs")).to_contain_text("a red balloon")
    visit.check_accessibility()
    visit.page.keyboard.press("Escape")
    expect(prompt).to_have_value("what I was typing")
    visit.page.click("#task-actions >> text=Use these values")
    expect(prompt).to_have_value("a red balloon")


def test_a_task_is_deleted_from_the_list_and_from_view(open_page: Visits, service: Running) -> None:
    for text in ("a red balloon", "a lighthouse"):
        submit(service, text)
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    expect(visit.page.locator("#tasks .thumb img.loaded")).to_have_count(2)
    row = visit.page.locator("#tasks li", has_text="a lighthouse")
    row.hover()
    row.get_by_role("button", name="Delete this task").click()
    visit.check_accessibility()
    visit.page.keyboard.press("Escape")
    expect(visit.page.locator(ROWS)).to_have_count(2)
    row.get_by_role("button", name="Delete this task").click()
    visit.page.click("#confirm-yes")
    expect(visit.page.locator(ROWS)).to_have_count(1)
    visit.page.click(ROWS)
    visit.expect_picture()
    visit.page.click("#task-actions .menu-button")
    visit.page.click("#task-actions .menu-item:has-text('Delete')")
    visit.page.click("#confirm-yes")
    expect(visit.page.locator("#history-empty")).to_have_text("No tasks here yet.")
    expect(visit.page.locator("#task-empty")).to_be_visible()
    assert httpx.get(f"{service.url}/tasks").json()["tasks"] == []


def test_ten_thousand_tasks_scroll_and_are_searched(
    open_page: Visits, service: Running, database: Path
) -> None:
    submit(service, "the newest")
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.page.click(ROWS)
    visit.expect_picture()
    store_many(database, 10_000)
    visit.page.reload()
    scroller = visit.page.locator(".history-scroll")
    expect(visit.page.locator("#load-more")).to_be_attached()
    for _ in range(60):
        if visit.page.locator("#load-more").count() == 0:
            break
        scroller.evaluate("element => { element.scrollTop = element.scrollHeight; }")
        visit.page.wait_for_timeout(50)
    assert visit.page.locator("#tasks li").count() < 60
    place = scroller.evaluate("element => element.scrollTop")
    assert place > 20_000
    visit.page.fill("#history-search", "number 1234")
    expect(visit.page.locator(ROWS).first).to_contain_text("number 1234")


def test_more_tasks_are_loaded_without_losing_the_place(
    open_page: Visits, service: Running, database: Path
) -> None:
    submit(service, "the newest")
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.page.click(ROWS)
    visit.expect_picture()
    store_many(database, 120)
    visit.page.reload()
    scroller = visit.page.locator(".history-scroll")
    expect(visit.page.locator(ROWS).first).to_be_visible()
    first_height = visit.page.locator("#tasks").evaluate("element => getComputedStyle(element).height")
    scroller.evaluate("element => { element.scrollTop = 3000; }")
    expect(visit.page.locator("#tasks")).not_to_have_css("height", first_height)
    assert scroller.evaluate("element => element.scrollTop") == 3000


def test_on_a_phone_the_history_is_a_tab_and_a_task_opens_its_result(
    open_page: Visits, service: Running
) -> None:
    submit(service, "a lighthouse")
    visit = open_page(service, viewport=PHONE, has_touch=True)
    visit.open_app(TEXT_TO_IMAGE)
    visit.show_tab("History")
    visit.page.click(ROWS)
    visit.expect_picture()
    expect(visit.page.locator("#task-body .picture")).to_be_in_viewport()
