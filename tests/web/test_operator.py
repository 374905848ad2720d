"""Sign-in links, users, usage and webhooks in a real browser: what the operator sees, and what users do."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from playwright.sync_api import expect

from tests.processes import Running, start_service
from tests.web.conftest import PHONE, QUICK, TEXT_TO_IMAGE, Visit, Visits

pytestmark = pytest.mark.processes

OPERATOR = {"Authorization": "Bearer sesame"}
CLIPBOARD = ["clipboard-read", "clipboard-write"]


class Receiver:
    """Takes webhooks, and responds with `status` to all of them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 500
        self.types: list[str] = []


@contextmanager
def start_receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            running.types.append(json.loads(body)["type"])
            self.send_response(running.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running = Receiver(f"http://127.0.0.1:{server.server_port}/hooks")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield running
        server.shutdown()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with start_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def guarded(
    shared_simulator: Running, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The service with an access token and a receiver of webhooks."""
    database = tmp_path_factory.mktemp("operator") / "tasks.db"
    settings = {
        "ACCESS_TOKENS": "sesame",
        "WEBHOOK_URL": receiver.url,
        "WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "WEBHOOK_ALLOW_PRIVATE": "true",
    }
    with start_service(shared_simulator.url, database, env=QUICK | settings) as service:
        yield service


def sign_in(visit: Visit, address: str) -> None:
    """Follows a link with a token; the first look at the page, without one, was refused."""
    visit.page.goto(address)
    expect(visit.page.locator("#forget")).to_be_attached()
    expect(visit.page.locator("#token")).to_have_count(0)
    visit.errors.clear()


def test_a_user_is_created_signs_in_by_a_link_and_sees_only_their_own_tasks(
    open_page: Visits, guarded: Running
) -> None:
    operator = open_page(guarded, permissions=CLIPBOARD)
    sign_in(operator, f"{guarded.url}/#/usage?token=sesame")
    page = operator.page
    assert page.url == f"{guarded.url}/#/usage"
    expect(page.locator(".users-empty")).to_be_visible()
    operator.check_accessibility()
    page.click("#new-user")
    page.click("#save-user")
    expect(page.locator("#user-name")).to_have_accessible_description(
        "Use 1 to 64 letters, digits or . _ - @."
    )
    page.fill("#user-name", "ann@example.com")
    page.get_by_label("Coins per month").fill("500")
    operator.check_accessibility()
    page.click("#save-user")
    expect(page.locator("#token-once")).to_contain_text("Token of ann@example.com")
    operator.check_accessibility()
    page.keyboard.press("Escape")
    page.click("#token-once button:has-text('Copy sign-in link')")
    expect(page.locator("#token-once")).to_contain_text("Copied")
    link: str = page.evaluate("navigator.clipboard.readText()")
    page.click("#token-once button:has-text('Done')")
    token = link.partition("#token=")[2]
    assert token.startswith("rhg_")
    assert token not in page.content()
    expect(page.locator("#users tbody tr")).to_contain_text("0 of 500")

    httpx.post(f"{guarded.url}/submit_task", json={"webappId": TEXT_TO_IMAGE}, headers=OPERATOR)
    user = open_page(guarded)
    sign_in(user, link)
    signed_in = len(user.requests)
    user.open_app(TEXT_TO_IMAGE)
    user.run()
    user.expect_picture()
    expect(user.page.locator("#tasks .task-row")).to_have_count(1)
    user.page.click("#task-actions .menu-button")
    expect(user.page.locator("#task-actions .menu-panel")).not_to_contain_text("Webhooks")
    user.goto("#/usage")
    expect(user.page.locator("[data-total=tasksEnded]")).to_contain_text("1")
    expect(user.page.locator("#new-user")).to_have_count(0)
    assert not [request for request in user.requests[signed_in:] if request.url.endswith("/accounts")]
    assert not [request for request in user.requests if token in request.url]

    page.click(".usage-rows button:has-text('User')")
    expect(page.locator("#usage-table")).to_contain_text("ann@example.com")
    page.click("[aria-label='More actions: ann@example.com']")
    page.click(".users .menu-item:has-text('Delete')")
    page.click("#confirm-yes")
    expect(page.locator(".users-empty")).to_be_visible()
    user.page.reload()
    expect(user.page.locator("#token")).to_be_visible()
    user.errors.clear()


def test_usage_and_users_fit_a_phone_in_the_dark(open_page: Visits, guarded: Running) -> None:
    httpx.post(f"{guarded.url}/users", json={"name": "a" * 64}, headers=OPERATOR)
    visit = open_page(guarded, viewport=PHONE, color_scheme="dark", locale="zh-CN")
    sign_in(visit, f"{guarded.url}/#/usage?token=sesame")
    expect(visit.page.locator("#users")).to_be_visible()
    visit.check_accessibility()
    assert visit.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_webhook_that_failed_is_sent_again(open_page: Visits, guarded: Running, receiver: Receiver) -> None:
    receiver.status = 410
    submit = {"webappId": TEXT_TO_IMAGE, "nodeInfoList": []}
    response = httpx.post(f"{guarded.url}/submit_task?wait=20", json=submit, headers=OPERATOR, timeout=30)
    visit = open_page(guarded)
    sign_in(visit, f"{guarded.url}/#/tasks/{response.json()['task_id']}?token=sesame")
    visit.expect_status("SUCCESS")
    visit.page.click("#task-actions .menu-button")
    visit.page.click("#task-actions .menu-item:has-text('Webhooks')")
    succeeded = visit.page.locator(".delivery", has_text="task.succeeded")
    expect(succeeded).to_contain_text("HTTP 410")
    expect(succeeded).to_have_attribute("data-state", "FAILED")
    visit.check_accessibility()
    receiver.status = 204
    receiver.types.clear()
    succeeded.get_by_role("button", name="Send again").click()
    expect(succeeded).to_have_attribute("data-state", "DELIVERED")
    assert "task.succeeded" in receiver.types
