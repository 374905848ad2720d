"""The form in a real browser: files, numbers, what is wrong with values, presets, batches, code."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import FilePayload, expect

from tests.processes import Running
from tests.web.conftest import (
    AUDIO,
    DROP,
    IMAGE_TO_IMAGE,
    PIXEL,
    TEXT_TO_IMAGE,
    Visits,
    switch,
)

pytestmark = pytest.mark.processes


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
    expect(visit.page.locator(".issues")).to_have_count(0)
    visit.run()
    visit.expect_picture()
    assert re.fullmatch(r"api/[0-9a-f]{64}\.png", visit.value_of("39.image"))


def test_a_file_of_another_type_is_not_uploaded(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    visit.page.evaluate(DROP, [".media .drop", "song.mp3", "audio/mpeg", PIXEL])
    expect(visit.page.locator(".media .problem")).to_contain_text("does not accept this type of file")
    assert not [request for request in visit.requests if "/upload" in request.url]


def test_a_url_takes_the_place_of_a_file(open_page: Visits, service: Running, simulator: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    address = f"{simulator.url}/covers/{TEXT_TO_IMAGE}.png"
    visit.page.get_by_role("button", name="Use a URL instead").click()
    field = visit.page.get_by_label("URL of the file")
    field.fill("file:///etc/passwd")
    field.press("Enter")
    expect(visit.page.locator(".url-input .problem")).to_be_visible()
    field.fill(address)
    field.press("Enter")
    expect(visit.page.locator(".preview img")).to_be_visible()
    visit.run()
    visit.expect_status("SUCCESS")
    assert visit.value_of("39.image") == address


def test_a_slow_upload_shows_its_progress_and_is_cancelled(
    open_page: Visits, service: Running, simulator: Running
) -> None:
    switch(simulator, upload_bytes_per_second=400_000)
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    session = visit.page.context.new_cdp_session(visit.page)
    limits = {"offline": False, "latency": 20, "downloadThroughput": -1, "uploadThroughput": 400_000}
    session.send("Network.emulateNetworkConditions", limits)
    large: FilePayload = {
        "name": "large.png",
        "mimeType": "image/png",
        "buffer": b"\x89PNG" + bytes(2_000_000),
    }
    visit.page.set_input_files(".media input", large)
    bar = visit.page.locator(".media progress")
    expect(bar).not_to_have_js_property("value", 0)
    assert 0 < float(bar.evaluate("bar => bar.value")) < 1
    visit.run()
    expect(visit.page.locator(".media .problem")).to_contain_text("still being uploaded")
    visit.page.click(".media button:has-text('Cancel')")
    expect(bar).to_have_count(0)
    expect(visit.page.locator(".media .badge")).to_have_text("Sample")
    assert not visit.submits()


def test_a_refused_upload_says_why(open_page: Visits, service: Running, simulator: Running) -> None:
    switch(simulator, unsupported_dialect="301")
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    strange: FilePayload = {"name": "a.heic", "mimeType": "image/heic", "buffer": b"heic"}
    visit.page.set_input_files(".media input", strange)
    expect(visit.page.locator(".media .problem")).to_contain_text("does not accept this type of file")
    visit.run()
    expect(visit.page.locator(".media input[type=file]")).to_be_focused()
    assert not visit.submits()
    visit.expect_problem_responses(415)


def test_what_is_probably_not_meant_is_counted_beside_run_and_linked(
    open_page: Visits, service: Running
) -> None:
    visit = open_page(service)
    visit.open_app(AUDIO)
    issues = visit.page.locator(".issues .menu-button")
    expect(issues).to_have_accessible_name("1 to check before running")
    issues.click()
    expect(visit.page.locator(".issues-panel")).to_contain_text("No file is selected")
    visit.page.click(".issue")
    expect(visit.page.locator(".media input[type=file]")).to_be_focused()
    visit.run()
    visit.expect_status("SUCCESS")


def test_every_wrong_value_is_shown_and_nothing_is_sent(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    steps = visit.page.get_by_label("Steps 1 – 60", exact=True)
    steps.fill("61")
    visit.page.get_by_label("Denoise 0.1 – 1", exact=True).fill("x")
    visit.page.get_by_label("Seed", exact=True).fill("1.5")
    expect(visit.page.locator(".issues .menu-button")).to_have_accessible_name("3 to fix before running")
    visit.run()
    expect(steps).to_be_focused()
    expect(steps).to_have_accessible_description("Must be at most 60.")
    expect(visit.page.locator(".problem:visible")).to_have_count(3)
    edges = "element => [element.getBoundingClientRect().top, element.getBoundingClientRect().bottom]"
    assert steps.evaluate(edges)[1] <= visit.page.locator(".run-bar").evaluate(edges)[0]
    steps.fill("12")
    expect(steps).not_to_have_attribute("aria-invalid", "true")
    visit.page.click("#reset")
    expect(steps).to_have_value("20")
    assert not visit.submits()


def test_a_fraction_is_shown_without_its_binary_rounding_and_sent_as_saved(
    open_page: Visits, service: Running
) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    expect(visit.page.get_by_label("Sampling top_p 0 – 1", exact=True)).to_have_value("0.7")
    visit.run()
    visit.expect_status("SUCCESS")
    assert visit.value_of("150:5.sampling_mode.top_p") == "0.7000000000000001"


def test_a_seed_beyond_what_javascript_counts_stays_exact(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    seed = visit.page.get_by_label("Seed", exact=True)
    seed.fill("18446744073709551615")
    visit.run()
    visit.expect_status("SUCCESS")
    assert visit.value_of("3.seed") == "18446744073709551615"
    visit.page.click("button[aria-label='Random: Seed']")
    assert re.fullmatch(r"\d{1,20}", seed.input_value())


def test_a_problem_stands_next_to_every_field_it_names(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    errors = [{"nodeId": node, "fieldName": "text", "msg": f"Too long: {node}."} for node in ("15", "16")]
    refusal = {"code": "invalid_node_info", "detail": "…", "errors": errors}
    visit.page.route("**/submit_task", lambda route: route.fulfill(status=422, json=refusal))
    visit.run()
    expect(visit.page.get_by_label("Positive prompt (English)")).to_have_accessible_description(
        "Too long: 15."
    )
    expect(visit.page.get_by_label("negative prompt (English)")).to_have_accessible_description(
        "Too long: 16."
    )
    expect(visit.page.locator("#form-alert")).to_contain_text("nothing was submitted")
    expect(visit.page.locator(".issues .menu-button")).to_have_accessible_name("2 to fix before running")
    visit.expect_problem_responses(422)


def test_presets_are_saved_with_the_app(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    prompt = visit.page.get_by_label("Positive prompt (English)")
    prompt.fill("a red balloon")
    visit.page.click(".presets .menu-button")
    visit.page.get_by_label("Preset name").fill("Balloon")
    visit.page.keyboard.press("Enter")
    visit.page.click("#reset")
    visit.page.reload()
    visit.page.click(".presets .menu-button")
    visit.page.click(".presets-panel >> text=Balloon")
    expect(prompt).to_have_value("a red balloon")


def long_form(form: dict[str, Any]) -> dict[str, Any]:
    """The form four times over: 48 fields of 20 nodes."""
    nodes = [
        node | {"nodeId": f"{copy}{node['nodeId']}"} for copy in (1, 2, 3, 4) for node in form["nodeInfoList"]
    ]
    return form | {"nodeInfoList": nodes}


def test_a_long_form_has_groups_and_a_filter(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    form = httpx.post(f"{service.url}/get_node_info", json={"webappId": IMAGE_TO_IMAGE}).json()
    visit.page.route("**/get_node_info", lambda route: route.fulfill(json=long_form(form)))
    visit.open_app(IMAGE_TO_IMAGE)
    assert len(long_form(form)["nodeInfoList"]) == 48
    expect(visit.page.locator(".field-group")).to_have_count(32)
    visit.page.get_by_label("Find a field").fill("seed")
    expect(visit.page.locator(".fields .field")).to_have_count(4)
    visit.page.locator(".fields input[type=text]").first.fill("7")
    visit.page.get_by_label("Find a field").fill("")
    expect(visit.page.locator(".fields .field")).to_have_count(48)
    visit.check_accessibility()


# Batches


def test_four_runs_with_new_seeds_are_one_batch(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    visit.page.click(".batch .menu-button")
    visit.page.click(".batch-panel button:has-text('×4')")
    visit.page.click(".batch-panel button:has-text('Done')")
    expect(visit.page.locator("#run")).to_contain_text("Run 4×")
    visit.run()
    expect(visit.page.locator("#tasks .task-row")).to_have_count(4)
    tasks = httpx.get(f"{service.url}/tasks").json()["tasks"]
    seeds = {
        item["fieldValue"] for task in tasks for item in task["node_info"] if item["fieldName"] == "seed"
    }
    assert len(seeds) == 4
    assert "669816362794144" in seeds


def test_a_batch_has_one_progress_and_is_cancelled_as_one(
    open_page: Visits, service: Running, simulator: Running
) -> None:
    switch(simulator, slots=1, run_time=60)
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.page.click(".batch .menu-button")
    visit.page.get_by_label("List for “Positive prompt (English)”").fill("a cat\na dog\na bird")
    visit.page.keyboard.press("Control+Enter")
    progress = visit.page.locator("#batch-progress")
    expect(progress).to_have_text("0 of 3 finished")
    expect(visit.page.locator("#batch .strip-item")).to_have_count(3)
    visit.expect_status("RUNNING")
    visit.check_accessibility()
    visit.page.click(".batch-summary button:has-text('Cancel all')")
    expect(progress).to_have_text("3 of 3 finished · 3 cancelled")
    expect(visit.page.locator(".batch-summary button")).to_have_count(0)
    tasks = httpx.get(f"{service.url}/tasks").json()["tasks"]
    assert [task["status"] for task in tasks] == ["CANCELLED"] * 3


def test_a_list_of_prompts_makes_a_run_of_each(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(TEXT_TO_IMAGE)
    visit.page.click(".batch .menu-button")
    visit.page.get_by_label("List for “Positive prompt (English)”").fill("a cat\n\na dog\n")
    visit.page.keyboard.press("Control+Enter")
    expect(visit.page.locator("#tasks .task-row")).to_have_count(2)
    tasks = httpx.get(f"{service.url}/tasks").json()["tasks"]
    prompts = {item["fieldValue"] for task in tasks for item in task["node_info"] if item["nodeId"] == "15"}
    assert prompts == {"a cat", "a dog"}


def test_a_csv_makes_a_run_of_each_row(open_page: Visits, service: Running) -> None:
    visit = open_page(service)
    visit.open_app(IMAGE_TO_IMAGE)
    visit.page.click(".batch .menu-button")
    rows = 'Prompt,3.steps\n"a cat, asleep",12\na dog,13\n'
    csv: FilePayload = {"name": "runs.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    visit.page.set_input_files(".batch-csv input", csv)
    expect(visit.page.locator(".batch-csv")).to_contain_text("runs.csv: 2 runs")
    visit.run()
    expect(visit.page.locator("#tasks .task-row")).to_have_count(2)
    tasks = httpx.get(f"{service.url}/tasks").json()["tasks"]
    values = [{item["fieldName"]: item["fieldValue"] for item in task["node_info"]} for task in tasks]
    assert {(each["prompt"], each["steps"]) for each in values} == {("a cat, asleep", "12"), ("a dog", "13")}


# Code


def copied_code(visit: Any, language: str) -> str:
    visit.page.click(".code-button")
    visit.page.click(f"#code .segments button:has-text('{language}')")
    visit.page.click("#code .copy")
    expect(visit.page.locator("#code .copy")).to_contain_text("Copied")
    text: str = visit.page.evaluate("navigator.clipboard.readText()")
    return text


@pytest.mark.parametrize("language", ["curl", "Python", "JavaScript"])
def test_the_copied_code_runs_with_the_forms_values(
    open_page: Visits, service: Running, tmp_path: Path, language: str
) -> None:
    visit = open_page(service, permissions=["clipboard-read", "clipboard-write"])
    visit.open_app(TEXT_TO_IMAGE)
    visit.page.get_by_label("Positive prompt (English)").fill('a cat\'s "hat"\nin the rain')
    code = copied_code(visit, language)
    command = {
        "curl": ["bash", "-c", f"uuidgen() {{ echo key-1; }}; {code}"],
        "Python": [sys.executable, "-c", code],
        "JavaScript": ["node", "--input-type=module", "-e", code],
    }[language]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert visit.value_of("15.text") == 'a cat\'s "hat"\nin the rain'
    task = httpx.get(f"{service.url}/tasks/{visit.task()['id']}?wait=10").json()
    assert task["status"] in ("RUNNING", "SUCCESS")
