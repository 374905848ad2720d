"""The list of earlier tasks in a real browser: pages, filters, search, deletion, ten thousand of them."""

import json
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import CDPSession, Route, expect

from tests.processes import Running
from tests.web.conftest import ALWAYS_FAILS, AUDIO, PHONE, TEXT_TO_IMAGE, Visits

pytestmark = pytest.mark.processes

ROWS = "#tasks .task-row"
NEWEST = 10_000_000
# As fast as by a wheel that is spun: every frame draws several rows that were not drawn before.
SCROLL_UP = """async () => {
  const list = document.querySelector('.history-scroll');
  const found = { frames: 300, formatters: 0, mostRows: 0, height: list.scrollHeight };
  for (const name of ['DateTimeFormat', 'NumberFormat'])
    Intl[name] = new Proxy(Intl[name], {
      construct(target, values) {
        found.formatters += 1;
        return new target(...values);
      },
    });
  for (let frame = 0; frame < found.frames; frame += 1) {
    list.scrollTop -= 400;
    await new Promise(requestAnimationFrame);
    found.mostRows = Math.max(found.mostRows, document.querySelectorAll('#tasks li').length);
  }
  return found;
}"""
UNIQUE = ("seq", "id", "created_at", "runninghub_task_id", "node_info")


def prompt_node(text: str) -> dict[str, str]:
    return {"nodeId": "15", "fieldName": "text", "fieldType": "STRING", "fieldValue": text}


def submit(service: Running, text: str, webapp_id: str = TEXT_TO_IMAGE, *, query: str = "") -> None:
    body = {"webappId": webapp_id, "nodeInfoList": [prompt_node(text)]}
    httpx.post(f"{service.url}/submit_task{query}", json=body, timeout=30).raise_for_status()


def seconds_in_scripts(session: CDPSession) -> float:
    """Processor time that the page's scripts have taken."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(metric["value"]) for metric in metrics if metric["name"] == "ScriptDuration")


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


def copies_of(task: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Tasks as the service lists them, each a minute older than the one before."""
    return [
        task
        | {
            "id": f"copy-{number}",
            "created_at": older(task["created_at"], number),
            "runninghub_task_id": None,
            "node_info": [prompt_node(f"number {number}")],
        }
        for number in range(count)
    ]


def old_row(number: int, row: dict[str, Any], kept: dict[str, Any]) -> list[Any]:
    own = {
        "seq": NEWEST - number,
        "id": f"{number:032x}",
        "created_at": older(row["created_at"], number),
        "runninghub_task_id": str(10**18 + number),
        "node_info": json.dumps([prompt_node(f"number {number}")]),
    }
    return [*(own[name] for name in UNIQUE), *kept.values()]


def older(time: str, minutes: int) -> str:
    earlier = datetime.fromisoformat(time) - timedelta(minutes=minutes)
    return earlier.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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


def test_ten_thousand_tasks_scroll_and_are_searched(open_page: Visits, service: Running) -> None:
    submit(service, "the newest", query="?wait=20")
    visit = open_page(service)
    tasks = copies_of(visit.task(), 10_000)

    def list_tasks(route: Route) -> None:
        is_first = "cursor=" not in route.request.url
        page = tasks[:50] if is_first else tasks[50:]
        route.fulfill(json={"tasks": page, "next_cursor": "further" if is_first else None})

    visit.page.route("**/tasks?*", list_tasks)
    visit.open_app(TEXT_TO_IMAGE)
    scroller = visit.page.locator(".history-scroll")
    expect(visit.page.locator("#load-more")).to_be_attached()
    scroller.evaluate("list => { list.scrollTop = list.scrollHeight; }")
    expect(visit.page.locator("#load-more")).to_have_count(0)
    scroller.evaluate("list => { list.scrollTop = list.scrollHeight; }")
    expect(visit.page.locator(ROWS).last).to_contain_text("number 9999")
    session = visit.page.context.new_cdp_session(visit.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = seconds_in_scripts(session)
    scrolled = visit.page.evaluate(SCROLL_UP)
    assert scrolled["height"] > 700_000
    assert scrolled["mostRows"] < 60
    # One for times and one for days: to make one takes as long as the rest of a row.
    assert scrolled["formatters"] <= 2
    # Of the 16 ms of a frame; processor time, so that it holds on a machine that is busy with other tests.
    assert (seconds_in_scripts(session) - before) / scrolled["frames"] < 0.012
    visit.page.fill("#history-search", "number 1234")
    expect(visit.page.locator(ROWS)).to_have_count(1)


def test_more_tasks_are_loaded_without_losing_the_place(
    open_page: Visits, service: Running, database: Path
) -> None:
    submit(service, "the newest", query="?wait=20")
    store_many(database, 120)
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
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
