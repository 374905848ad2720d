"""Running apps on the page, in a real browser, against real processes of the service and the simulator."""

import re
from base64 import b64decode
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import FilePayload, Page, Route, expect

from tests.processes import API_KEY, Running, free_port, start_service
from tests.web.conftest import (
    ALWAYS_FAILS,
    AUDIO,
    IMAGE_TO_IMAGE,
    PHONE,
    PIXEL,
    QUICK,
    TEXT_TO_IMAGE,
    WITH_PASSWORD,
    Visits,
    finish_tasks,
    switch,
)

pytestmark = pytest.mark.processes

PROMPT = "Positive prompt (English)"


@pytest.mark.parametrize(
    ("locale", "lang", "run", "done"), [("zh-CN", "zh-CN", "运行", "完成"), ("en-US", "en", "Run", "Done")]
)
def test_two_clicks_lead_from_a_first_visit_to_a_picture(
    open_page: Visits, service: Running, locale: str, lang: str, run: str, done: str
) -> None:
    visit = open_page(service, locale=locale)
    visit.page.click(f".card a[data-app='{TEXT_TO_IMAGE}']")
    visit.page.click(f"#app-form .run:has-text('{run}')")
    visit.expect_picture()
    expect(visit.page.locator("html")).to_have_attribute("lang", lang)
    expect(visit.page.locator("#task-heading .pill")).to_have_text(done)
    expect(visit.page.locator("#tasks .task-row")).to_have_count(1)
    assert visit.task()["webapp_id"] == TEXT_TO_IMAGE


def test_the_language_switches_in_place_and_is_remembered(open_page: Visits, service: Running) -> None:
    visit = open_page(service, locale="zh-CN")
    visit.open_app(IMAGE_TO_IMAGE)
    visit.page.get_by_label("提示词", exact=True).fill("一只猫")
    visit.page.click("#language")
    expect(visit.page.get_by_label("Prompt", exact=True)).to_have_value("一只猫")
    expect(visit.page.locator("option[value='1']")).to_have_text("User input content")
    visit.page.reload()
    expect(visit.page.locator("#run")).to_contain_text("Run")


@pytest.mark.parametrize("viewport", [{"width": 1440, "height": 900}, PHONE], ids=["desktop", "phone"])
def test_the_first_field_of_every_app_is_in_view(
    open_page: Visits, service: Running, viewport: dict[str, int]
) -> None:
    visit = open_page(service, viewport=viewport)
    for webapp_id in (TEXT_TO_IMAGE, IMAGE_TO_IMAGE, AUDIO, ALWAYS_FAILS, WITH_PASSWORD):
        visit.open_app(webapp_id)
        first = visit.page.locator(".form .field").first
        expect(first).to_be_in_viewport(ratio=1)
        box = first.bounding_box()
        bar = visit.page.locator(".run-bar").bounding_box()
        assert box is not None
        assert bar is not None
        assert box["y"] + box["height"] <= bar["y"]


def test_run_does_not_move_the_page(open_page: Visits, service: Running, simulator: Running) -> None:
    switch(simulator, run_time=60)
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    where = """() => [scrollY, document.querySelector('.form-scroll').scrollTop,
        document.querySelector('#run').getBoundingClientRect().top, document.activeElement.id]"""
    visit.page.locator(".form-scroll").evaluate("element => { element.scrollTop = 200; }")
    visit.page.focus("#run")
    before = visit.page.evaluate(where)
    visit.run()
    visit.expect_status("RUNNING")
    assert visit.page.evaluate(where) == before
    finish_tasks(simulator)
    visit.expect_picture()
    assert visit.page.evaluate(where) == before


def test_an_app_and_a_task_have_addresses_and_back_works(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.page.click(f".card a[data-app='{TEXT_TO_IMAGE}']")
    visit.page.wait_for_url(f"**/#/apps/{TEXT_TO_IMAGE}")
    visit.run()
    visit.expect_picture()
    task_id = visit.task()["id"]
    assert visit.page.url.endswith(f"#/tasks/{task_id}")

    visit.page.go_back()
    expect(visit.page.locator("#task-empty")).to_be_visible()
    visit.page.go_back()
    expect(visit.page.locator("#gallery-title")).to_be_visible()

    colleague = open_page(service)
    colleague.goto(f"#/tasks/{task_id}")
    colleague.expect_picture()
    expect(colleague.page.locator(".form")).to_have_attribute("data-app", TEXT_TO_IMAGE)


def test_two_tabs_do_not_disturb_each_other(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.page.get_by_label(PROMPT).fill("a lighthouse")
    other = visit.page.context.new_page()
    other.goto(f"{service.url}/#/apps/{TEXT_TO_IMAGE}")
    expect(other.get_by_label(PROMPT)).not_to_have_value("a lighthouse")
    other.get_by_label(PROMPT).fill("a harbour")
    other.click("#run")
    expect(other.locator("#task-card[data-status=SUCCESS]")).to_be_visible()
    visit.page.reload()
    expect(visit.page.get_by_label(PROMPT)).to_have_value("a lighthouse")
    expect(visit.page.locator("#task-empty")).to_be_visible()


def test_an_app_with_a_password_requires_it_before_anything_is_sent(
    open_page: Visits, service: Running
) -> None:
    visit = open_page(service)
    visit.open_app(WITH_PASSWORD)
    visit.run()
    password = visit.page.get_by_label("Access password")
    expect(password).to_be_focused()
    assert not visit.submits()
    password.fill("open-sesame")
    visit.run()
    visit.expect_picture()


def test_an_unknown_app_is_said_to_be_unknown(open_page: Visits, service: Running) -> None:
    visit = open_page(service, locale="zh-CN")
    visit.page.fill("#app-id", "no number at all")
    visit.page.press("#app-id", "Enter")
    expect(visit.page.locator("#app-id-problem")).to_contain_text("这里面没有应用编号")
    visit.page.fill("#app-id", "12")
    visit.page.press("#app-id", "Enter")
    expect(visit.page.locator(".form-missing")).to_contain_text("RunningHub 找不到这个应用")
    visit.expect_problem_responses(404)


def test_a_link_of_an_app_opens_it(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.page.fill("#app-id", f"https://www.runninghub.cn/ai-detail/{TEXT_TO_IMAGE}?inviteCode=1a2b")
    visit.page.press("#app-id", "Enter")
    expect(visit.page.locator("#app-title")).to_contain_text("基础LoRA")


def test_a_failing_task_says_where_it_broke(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(ALWAYS_FAILS)
    visit.run()
    visit.expect_status("FAILED")
    expect(visit.page.locator("#task-body .end")).to_contain_text("At node 3 KSampler: Allocation on device")


def test_a_full_queue_is_a_wait_and_no_error(open_page: Visits, service: Running, simulator: Running) -> None:
    switch(simulator, slots=1, run_time=60)
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_status("RUNNING")
    running = visit.task()["id"]
    visit.run()
    visit.expect_status("PENDING")
    expect(visit.page.locator(".run-left")).to_contain_text("Number 1 in the queue")
    switch(simulator, run_time=0.3)
    httpx.post(f"{service.url}/tasks/{running}/cancel").raise_for_status()
    visit.expect_picture()


def test_a_task_without_balance_waits_and_says_so_in_words(
    open_page: Visits, service: Running, simulator: Running
) -> None:
    switch(simulator, accounts={API_KEY: {"coins": 0}})
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_status("PENDING")
    expect(visit.page.locator(".run-state .alert")).to_contain_text("do not submit it again")
    expect(visit.page.locator(".run-state .alert")).to_contain_text("next try at")
    expect(visit.page.locator(".account .dot")).to_have_class("dot bad")
    visit.check_accessibility()
    switch(simulator, accounts={})
    visit.page.click("#task-actions button:has-text('Cancel')")
    visit.expect_status("CANCELLED")


def test_the_gallery_is_sorted_searched_and_continued(open_page: Visits, service: Running) -> None:
    apps = [
        {"webappId": str(number), "webappName": f"App {number}", "description": "", "cover": None, "tasks": 0}
        for number in range(30)
    ]
    asked: list[str] = []

    def list_apps(route: Route) -> None:
        asked.append(route.request.url)
        start = 24 if "cursor=" in route.request.url else 0
        page = apps[start : start + 24]
        route.fulfill(json={"webapps": page, "next_cursor": None if start else "further"})

    visit = open_page(service)
    visit.page.route("**/webapps?source=runninghub*", list_apps)
    visit.page.reload()
    cards = visit.page.locator("[data-source=runninghub] .card")
    expect(cards).to_have_count(24)
    place = "document.querySelector('.gallery-page').scrollTop"
    visit.page.click(".load-more")
    expect(cards).to_have_count(30)
    assert visit.page.evaluate(place) > 0
    visit.page.fill("#app-id", "App 29")
    expect(cards).to_have_count(1)
    visit.page.fill("#app-id", "")
    visit.page.click(".segments button:has-text('New')")
    expect(cards).to_have_count(24)
    assert "sort=NEWEST" in asked[-1]


def test_the_end_is_told_outside_a_hidden_page(
    open_page: Visits, service: Running, simulator: Running
) -> None:
    switch(simulator, run_time=60)
    visit = open_page(service, permissions=["notifications"])
    visit.page.add_init_script(
        "window.told = [];"
        "window.Notification = class extends EventTarget {"
        "  static permission = 'granted'; static requestPermission = async () => 'granted';"
        "  constructor(title, options) { super(); told.push(title, options.body); } }"
    )
    visit.page.reload()
    visit.open_app(TEXT_TO_IMAGE)
    visit.page.get_by_label(PROMPT).fill("a lighthouse")
    visit.run()
    visit.page.click(".notify")
    expect(visit.page.locator(".notify")).to_have_attribute("aria-pressed", "true")
    # As another tab in front does; the page lets go of its stream and reads the task when it is back.
    visit.page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    finish_tasks(simulator)
    expect(visit.page).to_have_title(re.compile("^Done"))
    title, body = visit.page.evaluate("told")
    assert title.startswith("Done")
    assert body == "a lighthouse"


def test_a_running_task_is_cancelled(open_page: Visits, service: Running, simulator: Running) -> None:
    switch(simulator, run_time=60)
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_status("RUNNING")
    visit.page.click("#task-actions button:has-text('Cancel')")
    visit.expect_status("CANCELLED")
    expect(visit.page.locator("#tasks .task-row").first).to_contain_text("Cancelled")


def test_a_running_task_shows_what_is_left_and_then_that_it_is_late(
    open_page: Visits, service: Running, simulator: Running
) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    expect(visit.page.locator(".run-facts")).to_contain_text("Usually")
    switch(simulator, run_time=60)
    visit.run()
    visit.expect_status("RUNNING")
    expect(visit.page.locator(".run-left")).to_have_text("Taking longer than usual")
    expect(visit.page).to_have_title(re.compile(r"^96 % · "))


def test_a_reload_in_the_middle_loses_nothing(
    open_page: Visits, service: Running, simulator: Running
) -> None:
    switch(simulator, run_time=60)
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    prompt = visit.page.get_by_label(PROMPT)
    prompt.fill("a lighthouse")
    visit.run()
    visit.expect_status("RUNNING")
    visit.page.reload()
    visit.expect_status("RUNNING")
    expect(prompt).to_have_value("a lighthouse")
    finish_tasks(simulator)
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
    expect(visit.page.locator("#connection")).to_be_in_viewport()
    with start_service(simulator.url, tmp_path / "tasks.db", env=QUICK, port=port):
        expect(visit.page.locator("#connection")).to_be_hidden()
        visit.page.click("#task-actions button:has-text('Cancel')")
        visit.expect_status("CANCELLED")
    visit.errors.clear()


def test_what_broke_off_in_an_outage_goes_on_by_itself(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    network = visit.page.context
    network.set_offline(True)
    picture: FilePayload = {"name": "cat.png", "mimeType": "image/png", "buffer": b64decode(PIXEL)}
    visit.page.set_input_files(".media input", picture)
    expect(visit.page.locator(".media .problem")).to_contain_text("did not respond")
    expect(visit.page.locator("#connection")).to_be_in_viewport()
    network.set_offline(False)
    expect(visit.page.locator("#connection")).to_be_hidden()
    expect(visit.page.locator(".media-status")).to_have_text("Uploaded cat.png")
    expect(visit.page.locator(".media .problem")).to_be_hidden()
    expect(visit.page.locator(".account .balance")).to_be_visible()
    visit.run()
    visit.expect_picture()
    # A part of the page whose modules have not been fetched yet.
    network.set_offline(True)
    visit.goto("#/usage")
    expect(visit.page.locator("#connection")).to_be_in_viewport()
    visit.check_accessibility()
    network.set_offline(False)
    expect(visit.page.locator("#usage-total")).to_be_visible(timeout=20_000)
    visit.errors.clear()


def test_an_unknown_task_says_so_and_the_history_names_every_app(open_page: Visits, service: Running) -> None:
    body = {"webappId": ALWAYS_FAILS, "nodeInfoList": []}
    httpx.post(f"{service.url}/submit_task", json=body).raise_for_status()
    visit = open_page(service)
    visit.page.goto("about:blank")
    visit.page.goto(f"{service.url}/#/tasks/no-such-task")
    expect(visit.page.locator(".result-panel .end-title")).to_have_text("There is no such task.")
    expect(visit.page.locator("#app-title")).to_have_text("Task")
    expect(visit.page.locator("#tasks .task-row")).to_contain_text("总是失败的应用")
    visit.check_accessibility()
    visit.errors.clear()


def test_a_task_is_followed_without_a_stream(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.page.route("**/events", lambda route: route.abort())
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    assert [request for request in visit.requests if "?wait=" in request.url]
    visit.errors.clear()


# Nothing is paid for twice


def test_a_lost_response_is_requested_again_with_the_same_key(open_page: Visits, service: Running) -> None:
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
    visit.run()
    expect(visit.page.locator("#form-alert")).to_contain_text("never charged twice")
    visit.page.reload()
    visit.run()
    visit.expect_picture()
    visit.run()
    expect(visit.page.locator("#tasks .task-row")).to_have_count(2)
    assert keys[0] == keys[1] != keys[2]
    assert any(error.endswith("net::ERR_FAILED") for error in visit.errors)
    visit.errors.clear()


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateways_error_page_never_advises_to_pay_again(
    open_page: Visits, service: Running, status: int
) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    headers = {"Retry-After": "5", "Content-Type": "text/html"}
    keys: list[str] = []

    def spoil(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        route.fulfill(status=status, body="<h1>Bad gateway</h1>", headers=headers)

    visit.page.route("**/submit_task", spoil)
    for _ in range(2):
        visit.run()
        expect(visit.page.locator("#run[data-busy]")).to_have_count(0)
        expect(visit.page.locator("#form-alert")).to_contain_text("asks for this same submission")
        expect(visit.page.locator("#form-alert")).not_to_contain_text("in 5 s")
    assert keys[0] == keys[1]
    visit.expect_problem_responses(status, status)


@pytest.mark.parametrize("decision", ["id", "resubmit"])
def test_a_submit_without_a_response_is_settled(
    open_page: Visits, service: Running, simulator: Running, decision: str
) -> None:
    switch(simulator, faults={"run": {"kind": "lost_reply", "times": 1}})
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_status("SUBMIT_UNKNOWN")
    expect(visit.page.locator("#task-body .alert")).to_contain_text("It may be running and be charged for")
    expect(visit.page.locator("#form-alert")).to_have_text("")
    visit.check_accessibility()
    # The same values again show the same task: nothing is submitted.
    visit.run()
    expect(visit.page.locator("#run[data-busy]")).to_have_count(0)
    visit.expect_status("SUBMIT_UNKNOWN")
    assert len(httpx.get(f"{simulator.url}/simulator/tasks").json()) == 1
    if decision == "id":
        started = httpx.get(f"{simulator.url}/simulator/tasks").json()[0]
        visit.page.fill("#runninghub-id", started["taskId"])
        visit.page.click("text=Track it")
    else:
        visit.page.click("#task-body >> text=Submit again")
        expect(visit.page.locator("#confirm")).to_contain_text("cost twice")
        visit.check_accessibility()
        visit.page.click("#confirm-yes")
    visit.expect_picture()
    visit.errors.clear()


# Tokens, code, keyboard


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
        visit.page.keyboard.press("Escape")
        expect(visit.page.locator("#locked")).to_contain_text("requires an access token")
        visit.page.click("#locked button")
        visit.page.fill("#token-input", "sesame")
        visit.page.keyboard.press("Enter")
        visit.page.click(".card a")
        visit.run()
        visit.expect_picture()
        visit.page.reload()
        visit.expect_picture()
        assert not [request for request in visit.requests if "sesame" in request.url]
        visit.page.click("#forget")
        expect(visit.page.locator("#token")).to_be_visible()
    visit.errors.clear()


def test_what_a_result_says_never_becomes_code(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.run()
    visit.expect_picture()
    text = "<img src=x onerror=alert(1)>"
    task = visit.task() | {
        "id": "evil",
        "node_info": [{"nodeId": "1", "fieldName": "a", "fieldType": "STRING", "fieldValue": text}],
        "outputs": [],
        "result_data": [
            {"fileUrl": "javascript:alert(1)", "fileType": "png"},
            {"text": "<script>alert(1)</script>"},
        ],
    }
    visit.page.route("**/tasks?*", lambda route: route.fulfill(json={"tasks": [task], "next_cursor": None}))
    visit.page.reload()
    visit.page.click("#tasks .task-row:has-text('<img src=x')")
    expect(visit.page.locator("#task-body pre")).to_have_text("<script>alert(1)</script>")
    assert visit.page.locator("a[href^='javascript'], img[src^='javascript'], #task-body script").count() == 0


def test_the_keyboard_is_enough(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    keyboard = visit.page.keyboard
    tab_to(visit.page, "#app-id")
    keyboard.type(TEXT_TO_IMAGE)
    keyboard.press("Enter")
    expect(visit.page.locator("#run")).to_be_visible()
    tab_to(visit.page, "textarea")
    keyboard.press("Control+Enter")
    visit.expect_picture()
    tab_to(visit.page, "#task-body .picture")
    keyboard.press("Enter")
    expect(visit.page.locator("#viewer")).to_be_visible()
    keyboard.press("Escape")
    expect(visit.page.locator("#task-body .picture")).to_be_focused()
    tab_to(visit.page, "#tasks .task-row")
    keyboard.press("Enter")
    visit.expect_picture()


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
    expect(visit.page.locator("#announcer")).to_have_text("Done")
