"""The documents are checked against the code: what they list is complete, and their commands work."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from PIL import Image
from starlette.routing import Route

from api.paths import is_runninghub_path
from config import ServerSettings, Settings
from errors import AppError
from main import create_app
from models import TaskStatus
from tests.http_client import http_client
from tests.processes import ROOT, Running, clean_environment, start_service, start_simulator
from transitions import TRANSITIONS

ENGLISH, CHINESE = READMES = ("README.md", "README.zh-CN.md")
REFERENCE = sorted(page.name for page in (ROOT / "docs").glob("*.md"))
# Each English page and its Chinese twin.
TWINS = [READMES, *((f"docs/{name}", f"docs/zh-CN/{name}") for name in REFERENCE)]
TRANSLATED = [page for twins in TWINS for page in twins]
PAGES = (*TRANSLATED, "SECURITY.md", "CHANGELOG.md", "examples/README.md", "simulator/README.md")
PLAN = ("/get_node_info", "/upload", "/submit_task", "/task/query_task_status", "/tasks/$TASK")
TEXT_TO_IMAGE = "1992755951447109633"

NO_DOTENV: dict[str, Any] = {"_env_file": None}
DEFAULTS = {
    name.upper(): field.default
    for settings in (Settings, ServerSettings)
    for name, field in settings.model_fields.items()
}

Table = list[list[str]]


def both(name: str) -> pytest.MarkDecorator:
    """For a test of this reference page in both languages."""
    return pytest.mark.parametrize("page", [f"docs/{name}.md", f"docs/zh-CN/{name}.md"])


in_both_readmes = pytest.mark.parametrize("page", READMES)


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def tables(page: str) -> list[Table]:
    """Each table's rows below its head, as lists of cells."""
    found = re.findall(r"(?m)^\|.*\n\|(?:-+\|)+\n((?:\|.*\n)+)", read(page))
    return [[re.split(r"\s+\|\s+", row[2:-2]) for row in table.splitlines()] for table in found]


def words(cell: str) -> list[str]:
    """What is code in a cell, and a transition's letters: the same in every language."""
    return re.findall(r"`([^`]+)`", cell) or re.findall(r"\b[a-z]\b", cell if len(cell) < 5 else "")


def table_with(page: str, first_cell: str) -> Table:
    """The one table that has a row of this name."""
    (found,) = [table for table in tables(page) if any(row[0] == f"`{first_cell}`" for row in table)]
    return found


def names(table: Table) -> list[str]:
    return [name for row in table for name in words(row[0])]


def settings_rows(page: str) -> dict[str, str]:
    """Every setting in the page's tables, with its default."""
    rows = [row for table in tables(page) for row in table if re.fullmatch(r"`[A-Z][A-Z_]+`", row[0])]
    return {row[0].strip("`"): row[1].strip("`") for row in rows}


def shown_default(value: object) -> str:
    """As it would be written in `.env`; nothing for a setting that is not set."""
    text = "" if value in (None, ()) else str(value)
    return text.lower() if isinstance(value, bool) else text


def block(page: str, mark: str) -> str:
    """The fenced block behind a comment `<!-- mark: … -->`."""
    (found,) = re.findall(rf"<!-- {mark}: [^\n]* -->\n```\w+\n(.*?)```", read(page), re.DOTALL)
    return str(found)


def shell_blocks(page: str) -> list[str]:
    """The page's `sh` blocks, without indentation."""
    found = re.findall(r"(?ms)^( *)```sh\n(.*?)^ *```", read(page))
    return [re.sub(rf"(?m)^{indent}", "", commands) for indent, commands in found]


def requirements(*files: str) -> dict[str, Requirement]:
    lines = [line.partition(" #")[0] for file in files for line in read(file).splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {requirement.name: requirement for requirement in found}


def served_routes() -> set[str]:
    """Every method and path of the application, without the HEAD of each GET."""
    app = create_app(Settings(**NO_DOTENV))
    routes = [route for route in app.routes if isinstance(route, Route)]
    return {f"{method} {route.path}" for route in routes for method in (route.methods or set()) - {"HEAD"}}


# The commands work


@pytest.fixture(scope="module")
def simulator() -> Iterator[Running]:
    with start_simulator(queue_time=0.5, run_time=0.5, slots=0) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def service(simulator: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    database = tmp_path_factory.mktemp("docs") / "tasks.db"
    with start_service(simulator.url, database, env={"POLL_INTERVAL_S": "0.1"}) as service:
        yield service


def type_in(
    command: list[str], text: str, service: Running, folder: Path, variables: dict[str, str] | None = None
) -> str:
    """What a program prints that is given `text`, with the service where `make demo` would have it.

    The folder shows what a copy of the project would show, and is empty otherwise.
    """
    project = folder / "project"
    project.mkdir()
    (project / "docs").symlink_to(ROOT / "docs")
    done = subprocess.run(
        command,
        input=text.replace("http://127.0.0.1:8000", service.url),
        cwd=project,
        env={**clean_environment(), "TMPDIR": str(folder), **(variables or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in project.iterdir()] == ["docs"]
    return done.stdout


def newest_task(service: Running) -> dict[str, Any]:
    task: dict[str, Any] = http_client.get(f"{service.url}/tasks?limit=1").json()["tasks"][0]
    return task


@pytest.mark.processes
@in_both_readmes
def test_the_walkthrough_ends_in_success_with_a_picture_that_opens_and_leaves_no_file_behind(
    page: str, service: Running, tmp_path: Path
) -> None:
    walk = block(page, "walk")
    assert [route for route in PLAN if f"$BASE{route} " not in walk] == []

    *_, shown, picture_path = type_in(
        ["bash", "-euo", "pipefail", "-s"], walk, service, tmp_path
    ).splitlines()

    task, printed = newest_task(service), json.loads(shown)
    assert task["status"] == "SUCCESS"
    # The copy of its outputs goes on after the task has ended.
    same = ("id", "status", "node_info", "result_data")
    assert {name: printed[name] for name in same} == {name: task[name] for name in same}
    with Image.open(picture_path) as picture:
        picture.load()
        assert picture.format == "PNG"


@pytest.mark.processes
@in_both_readmes
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")
def test_the_snippet_for_pages_shows_a_result(page: str, service: Running, tmp_path: Path) -> None:
    printed = type_in(["node", "--input-type=module", "-"], block(page, "snippet"), service, tmp_path)

    status, url = printed.split()
    assert status == newest_task(service)["status"] == "SUCCESS"
    assert http_client.get(url).headers["Content-Type"] == "image/png"


def unknown_task(service: Running, simulator: Running) -> str:
    """A task whose paid call got no response."""
    lost_reply = {"faults": {"run": {"kind": "lost_reply", "times": 1}}}
    http_client.patch(f"{simulator.url}/simulator/switches", json=lost_reply).raise_for_status()
    problem = http_client.post(
        f"{service.url}/submit_task", json={"webappId": TEXT_TO_IMAGE, "nodeInfoList": []}
    ).json()
    return str(problem["task_id"])


@pytest.mark.processes
@both("api")
def test_every_curl_call_of_the_api_page_succeeds(
    page: str, service: Running, simulator: Running, tmp_path: Path
) -> None:
    blocks = shell_blocks(page)
    called = "\n".join(blocks)
    missing = [path for path in PLAN if f"$BASE{path}" not in called]
    variables = {"LOST_TASK": unknown_task(service, simulator)}
    variables["STARTED_TASK"] = unknown_task(service, simulator)
    variables["RUNNINGHUB_TASK"] = http_client.get(f"{simulator.url}/simulator/tasks").json()[-1]["taskId"]
    # As the page shows them, except that a response of 4xx or 5xx ends the script.
    strict = 'curl() { command curl --fail-with-body "$@" && echo; }\n'

    printed = type_in(["bash", "-euo", "pipefail", "-s"], strict + called, service, tmp_path, variables)

    assert missing == []
    assert len(re.findall(r"\bcurl\b", called)) <= len(printed.splitlines())


@pytest.mark.processes
@both("backup")
def test_the_backup_pages_commands_do_what_it_says(page: str, tmp_path: Path) -> None:
    commands = "\n".join(re.findall(r"(?m)^python -m db\..*$", read(page)))
    database = tmp_path / "tasks.db"
    # RunningHub is not reached, so that the task waits.
    waiting = {"POLL_INTERVAL_S": "0.1"}
    with start_service("http://127.0.0.1:1", database, env=waiting) as service:
        http_client.post(f"{service.url}/submit_task", json={"webappId": "1", "nodeInfoList": []})
        assert newest_task(service)["status"] == "PENDING"
    python = {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, env=python, check=True)
    with start_service("http://127.0.0.1:1", database, env=waiting) as service:
        task = newest_task(service)
        assert (task["status"], task["error"]["code"]) == ("SUBMIT_UNKNOWN", "restored")


@pytest.mark.parametrize("page", TRANSLATED)
def test_every_make_target_that_is_named_exists(page: str) -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", read("Makefile")))
    assert set(re.findall(r"(?m)(?:^|`)make ([a-z]+)", read(page))) <= targets


@pytest.mark.parametrize("page", TRANSLATED)
def test_every_shell_block_is_valid_bash(page: str) -> None:
    for commands in shell_blocks(page):
        checked = subprocess.run(["bash", "-n"], input=commands, text=True, capture_output=True)
        assert (checked.returncode, checked.stderr) == (0, ""), commands


# What they list is complete


@both("api")
def test_every_route_is_listed(page: str) -> None:
    assert set(names(table_with(page, "POST /submit_task"))) == {
        route for route in served_routes() if not is_runninghub_path(route.partition(" ")[2])
    }


@both("compatibility")
def test_every_route_of_runninghubs_is_listed(page: str) -> None:
    listed = set(names(table_with(page, "POST /task/openapi/ai-app/run")))
    assert listed == {route for route in served_routes() if is_runninghub_path(route.partition(" ")[2])}


@in_both_readmes
def test_the_readme_names_only_routes_that_exist(page: str) -> None:
    named = set(re.findall(r"`((?:GET|POST|PATCH|DELETE) /[^` ]*)`", read(page)))
    assert named
    assert named - served_routes() == set()


@both("configuration")
def test_every_setting_is_listed_with_its_default(page: str) -> None:
    none = "无" if "zh-CN" in page else "none"
    assert settings_rows(page) == {name: shown_default(default) or none for name, default in DEFAULTS.items()}


@in_both_readmes
def test_the_readme_shows_the_same_defaults_as_the_configuration_page(page: str) -> None:
    shown = settings_rows(page)
    reference = settings_rows("docs/zh-CN/configuration.md" if page == CHINESE else "docs/configuration.md")
    assert len(shown) == 6
    assert {name: reference.get(name) for name in shown} == shown


@both("errors")
def test_every_error_is_listed_with_its_status(page: str) -> None:
    listed = {row[0].strip("`"): int(row[1]) for row in table_with(page, "invalid_request")}
    assert listed == {error.code: error.status_code for error in AppError.__subclasses__()}


@both("task-lifecycle")
def test_every_status_is_listed_in_order(page: str) -> None:
    assert names(table_with(page, "SUBMIT_UNKNOWN")) == [str(status) for status in TaskStatus]


@both("task-lifecycle")
def test_the_diagram_has_every_transition_of_the_code_and_no_other(page: str) -> None:
    drawn = re.findall(r"(?m)^ +(\S+) --> (\w+): (\w)$", read(page))
    groups = {"AT": ["QUEUED", "RUNNING"], "[*]": []}
    transitions = {
        (source, target)
        for sources, targets, _ in drawn
        for source in groups.get(sources, [sources])
        for target in groups.get(targets, [targets])
    }
    assert transitions == {
        (str(source), str(target)) for target in TaskStatus for source in TRANSITIONS[target]
    }
    (explained,) = [table for table in tables(page) if table[0][0] == "a"]
    letters = [letter for row in explained for letter in words(row[0])]
    assert letters == list(dict.fromkeys(letters))
    assert set(letters) == {letter for *_, letter in drawn}


@pytest.mark.parametrize(
    "file",
    [
        *("requirements.txt", "requirements-dev.txt", "requirements-telemetry.txt"),
        *("simulator/requirements.txt", "bench/requirements.txt"),
    ],
)
def test_every_package_is_declared_with_its_reason(file: str) -> None:
    declared = [line for line in read(file).splitlines() if line and not line.startswith(("#", "-"))]
    assert declared
    assert [line for line in declared if not re.search(r"  # \w.{5,}", line)] == []


@both("architecture")
def test_every_module_and_package_is_listed(page: str) -> None:
    listed = set(names(table_with(page, "main.py")))
    modules = {path.name for path in ROOT.glob("*.py")}
    packages = {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")}
    assert modules | packages <= listed
    assert [name for name in listed if not (ROOT / name).exists()] == []


@in_both_readmes
def test_the_readme_names_only_files_that_exist(page: str) -> None:
    listed = names(table_with(page, "main.py"))
    assert [name for name in listed if not (ROOT / name).exists()] == []


# Both languages say the same


@pytest.mark.parametrize(("english", "chinese"), TWINS)
def test_both_languages_have_the_same_tables(english: str, chinese: str) -> None:
    assert [[words(row[0]) for row in table] for table in tables(english)] == [
        [words(row[0]) for row in table] for table in tables(chinese)
    ]


@pytest.mark.parametrize(("english", "chinese"), TWINS)
def test_both_languages_have_the_same_commands(english: str, chinese: str) -> None:
    def commands(page: str) -> list[str]:
        return [re.sub(r"(?m) *#.*$", "", commands) for commands in shell_blocks(page)]

    assert commands(english) == commands(chinese)


@pytest.mark.parametrize(("english", "chinese"), TWINS)
def test_both_languages_have_the_same_sections(english: str, chinese: str) -> None:
    levels = [
        re.findall(r"(?m)^(#+) ", re.sub(r"(?ms)```.*?```", "", read(page))) for page in (english, chinese)
    ]
    assert levels[0] == levels[1]


def test_every_reference_page_has_a_twin() -> None:
    assert sorted(page.name for page in (ROOT / "docs/zh-CN").glob("*.md")) == REFERENCE


# Settings, links, the image, the lock


def test_the_example_of_a_dotenv_file_shows_every_setting_with_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    explained = re.findall(r"(?m)^# .+\n#?([A-Z_]+)=", read(".env.example"))
    assert explained == list(DEFAULTS)
    everything = tmp_path / "env"
    everything.write_text(re.sub(r"(?m)^#([A-Z_]+=)", r"\1", read(".env.example")), "utf-8")
    shown: dict[str, Any] = {"_env_file": everything}
    assert Settings(**shown) == Settings(**NO_DOTENV)
    assert ServerSettings(**shown) == ServerSettings(**NO_DOTENV)
    assert set(re.findall(r"(?m)^([A-Z_]+)=", everything.read_text("utf-8"))) == set(explained)


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"(?m)^#+ (.+)$", page.read_text("utf-8"))}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", read(page)) if "://" not in link]
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@both("security")
def test_every_test_that_the_security_page_names_exists(page: str) -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", read(page)))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.processes
def test_every_way_to_start_the_service_turns_the_server_header_off(service: Running) -> None:
    starters = ("simulator/demo.py", "Dockerfile", "deploy/runninghub-gateway.service")
    assert [name for name in starters if "--no-server-header" not in read(name)] == []
    assert "server" not in http_client.get(f"{service.url}/health").headers


def test_the_lock_pins_what_runs_with_hashes_and_names_no_host() -> None:
    lock = read("requirements.lock")
    entries = re.findall(
        r"(?m)^([\w.-]+)==(\S+)(?: ;.*)? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", lock
    )
    pinned = {name: version for name, version, _ in entries}
    assert len(entries) == lock.count("==") - len(re.findall(r" ;.*==", lock))
    assert "://" not in lock
    assert [
        name
        for name, requirement in requirements("requirements.txt", "requirements-postgres.txt").items()
        if not requirement.specifier.contains(pinned.get(name, "0"))
    ] == []
    assert "pytest" not in pinned
