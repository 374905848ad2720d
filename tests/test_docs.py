"""The documents held against the code: what they list is complete, and what they tell to type works."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.requirements import Requirement
from PIL import Image
from starlette.routing import Route

from config import Settings
from errors import AppError
from main import create_app
from models import TRANSITIONS, TaskStatus
from tests.processes import ROOT, Running, clean_environment, start_service, start_simulator

pytestmark = pytest.mark.processes

ENGLISH, CHINESE = READMES = ("README.md", "README.zh-CN.md")
PAGES = (*READMES, "SECURITY.md", "CHANGELOG.md", "examples/README.md", "simulator/README.md")
PLAN = ("/get_node_info", "/upload", "/submit_task", "/task/query_task_status", "/tasks/$TASK")
# They stand in requirements.txt, so that one list is enough to run the tests, and not in the lock.
TEST_TOOLS = {"pytest", "respx"}
NONE = {ENGLISH: "none", CHINESE: "无"}
PACKAGES = {ENGLISH: "{} packages to run", CHINESE: "运行需要 {} 个包"}

NO_DOTENV: dict[str, Any] = {"_env_file": None}

Table = list[list[str]]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def tables(page: str) -> list[Table]:
    """Each table's rows below its head, as lists of cells."""
    found = re.findall(r"(?m)^\|.*\n\|(?:-+\|)+\n((?:\|.*\n)+)", read(page))
    return [[re.split(r"\s+\|\s+", row[2:-2]) for row in table.splitlines()] for table in found]


def words(cell: str) -> list[str]:
    """What is code in a cell, and an arrow's letters: the same in every language."""
    return re.findall(r"`([^`]+)`", cell) or re.findall(r"\b[a-z]\b", cell if len(cell) < 5 else "")


def table_with(page: str, first_cell: str) -> Table:
    """The one table that has a row of this name."""
    (found,) = [table for table in tables(page) if any(row[0] == f"`{first_cell}`" for row in table)]
    return found


def names(table: Table) -> list[str]:
    return [row[0].strip("`") for row in table]


def block(page: str, mark: str) -> str:
    """The fenced block behind a comment `<!-- mark: … -->`."""
    (found,) = re.findall(rf"<!-- {mark}: [^\n]* -->\n```\w+\n(.*?)```", read(page), re.DOTALL)
    return str(found)


def requirements(*files: str) -> dict[str, Requirement]:
    lines = [line for file in files for line in read(file).splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {requirement.name: requirement for requirement in found}


# What they tell to type


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    database = tmp_path_factory.mktemp("docs") / "tasks.db"
    with (
        start_simulator(queue_time=0.1, run_time=0.3, slots=0) as simulator,
        start_service(simulator.url, database, env={"POLL_INTERVAL_S": "0.1"}) as service,
    ):
        yield service


def type_in(command: list[str], text: str, service: Running, folder: Path) -> str:
    """What a program prints that is given `text`, with the service where `make demo` would have it."""
    (folder / "docs").symlink_to(ROOT / "docs")
    done = subprocess.run(
        command,
        input=text.replace("http://127.0.0.1:8000", service.url),
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def newest_task(service: Running) -> dict[str, Any]:
    task: dict[str, Any] = httpx.get(f"{service.url}/tasks?limit=1").json()["tasks"][0]
    return task


@pytest.mark.parametrize("page", READMES)
def test_the_walk_ends_in_success_with_a_picture_that_opens(
    page: str, service: Running, tmp_path: Path
) -> None:
    walk = block(page, "walk")
    assert [route for route in PLAN if f"$BASE{route} " not in walk] == []

    printed = type_in(["bash", "-euo", "pipefail", "-s"], walk, service, tmp_path)

    task = newest_task(service)
    assert task["status"] == "SUCCESS"
    assert json.loads(printed.splitlines()[-1]) == task
    with Image.open(tmp_path / "result.png") as picture:
        picture.load()
        assert picture.format == "PNG"


@pytest.mark.parametrize("page", READMES)
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")
def test_the_snippet_for_pages_shows_a_result(page: str, service: Running, tmp_path: Path) -> None:
    printed = type_in(["node", "--input-type=module", "-"], block(page, "snippet"), service, tmp_path)

    task = newest_task(service)
    assert printed.split() == ["SUCCESS", task["result_data"][0]["fileUrl"]]


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="there is no sqlite3 program here")
def test_a_restored_backups_waiting_tasks_are_handed_to_a_person(tmp_path: Path) -> None:
    commands = {page: re.findall(r'(?m)^sqlite3 tasks\.db "UPDATE .*$', read(page)) for page in READMES}
    assert commands[ENGLISH] == commands[CHINESE]
    database = tmp_path / "tasks.db"
    # Nobody is there, so that the task waits.
    waiting = {"POLL_INTERVAL_S": "0.1"}
    with start_service("http://127.0.0.1:1", database, env=waiting) as service:
        httpx.post(f"{service.url}/submit_task", json={"webappId": "1", "nodeInfoList": []})
        assert newest_task(service)["status"] == "PENDING"
    subprocess.run(["bash", "-c", commands[ENGLISH][0]], cwd=tmp_path, check=True)
    with start_service("http://127.0.0.1:1", database, env=waiting) as service:
        task = newest_task(service)
        assert (task["status"], task["error"]["code"]) == ("SUBMIT_UNKNOWN", "restored")


@pytest.mark.parametrize("page", READMES)
def test_every_make_target_that_is_named_is_there(page: str) -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", read("Makefile")))
    assert set(re.findall(r"(?m)(?:^|`)make ([a-z]+)", read(page))) <= targets


# What they list


@pytest.mark.parametrize("page", READMES)
def test_every_route_is_listed(page: str) -> None:
    app = create_app(Settings(**NO_DOTENV))
    routes = [route for route in app.routes if isinstance(route, Route)]
    known = {f"{method} {route.path}" for route in routes for method in route.methods or ()}
    assert set(names(table_with(page, "POST /submit_task"))) == {r for r in known if r[:5] != "HEAD "}


@pytest.mark.parametrize("page", READMES)
def test_every_setting_is_listed_with_its_default(page: str) -> None:
    listed = {row[0].strip("`"): row[1].strip("`") for row in table_with(page, "RUNNINGHUB_API_KEY")}
    defaults = {
        name.upper(): str(field.default) if field.default not in (None, ()) else NONE[page]
        for name, field in Settings.model_fields.items()
    }
    assert listed == {name: defaults[name] for name in listed}


@pytest.mark.parametrize("page", READMES)
def test_every_problem_is_listed_with_its_status(page: str) -> None:
    listed = {row[0].strip("`"): int(row[1]) for row in table_with(page, "invalid_request")}
    statuses = {error.code: error.status_code for error in AppError.__subclasses__()}
    assert listed == {code: statuses[code] for code in listed}


@pytest.mark.parametrize("page", READMES)
def test_the_diagram_has_every_arrow_of_the_database_and_no_other(page: str) -> None:
    drawn = re.findall(r"(?m)^ +(\S+) --> (\w+): (\w)$", read(page))
    groups = {"AT": ["QUEUED", "RUNNING"], "[*]": []}
    arrows = {
        (source, target)
        for sources, targets, _ in drawn
        for source in groups.get(sources, [sources])
        for target in groups.get(targets, [targets])
    }
    assert arrows == {(str(source), str(target)) for target in TaskStatus for source in TRANSITIONS[target]}
    (explained,) = [table for table in tables(page) if table[0][0] == "a"]
    letters = [letter for row in explained for letter in words(row[0])]
    assert letters == list(dict.fromkeys(letters))
    assert set(letters) == {letter for *_, letter in drawn}


@pytest.mark.parametrize("page", READMES)
def test_every_dependency_is_listed_with_its_reason(page: str) -> None:
    needed = requirements("requirements.txt")
    assert set(names(table_with(page, "fastapi"))) == set(needed) - TEST_TOOLS
    assert PACKAGES[page].format(len(set(needed) - TEST_TOOLS)) in read(page)
    others = requirements("requirements-dev.txt", "simulator/requirements.txt", "bench/requirements.txt")
    listed = {*names(table_with(page, "fastapi")), *names(table_with(page, "pytest"))}
    assert (others.keys() | TEST_TOOLS) - listed == set()


@pytest.mark.parametrize("page", READMES)
def test_every_module_is_listed(page: str) -> None:
    listed = set(names(table_with(page, "main.py")))
    assert listed >= {path.name for path in ROOT.glob("*.py")}
    assert [name for name in listed if not (ROOT / name).exists()] == []


def test_both_languages_list_the_same() -> None:
    english, chinese = ([[words(row[0]) for row in table] for table in tables(page)] for page in READMES)
    assert english == chinese
    english_commands, chinese_commands = (
        [
            re.sub(r"(?m) *#.*$", "", commands)
            for commands in re.findall(r"(?ms)^```sh\n(.*?)^```", read(page))
        ]
        for page in READMES
    )
    assert english_commands == chinese_commands


# Settings, links, the lock


def test_the_example_of_a_dotenv_file_shows_every_setting_with_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    explained = re.findall(r"(?m)^# .+\n#?([A-Z_]+)=", read(".env.example"))
    assert explained == [name.upper() for name in Settings.model_fields]
    everything = tmp_path / "env"
    everything.write_text(re.sub(r"(?m)^#([A-Z_]+=)", r"\1", read(".env.example")), "utf-8")
    shown: dict[str, Any] = {"_env_file": everything}
    assert Settings(**shown) == Settings(**NO_DOTENV)
    assert set(re.findall(r"(?m)^([A-Z_]+)=", everything.read_text("utf-8"))) == set(explained)


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", read(page)) if "://" not in link]
    anchors = {slug(heading) for heading in re.findall(r"(?m)^#+ (.+)$", read(page))}
    assert [
        link
        for link in links
        if link.removeprefix("#") not in anchors and not (ROOT / page).parent.joinpath(link).is_file()
    ] == []


def test_every_test_that_the_security_page_names_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", read("SECURITY.md")))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_way_to_start_the_service_turns_the_server_header_off(service: Running) -> None:
    starters = ("Makefile", "simulator/demo.py", "Dockerfile", "deploy/runninghub-gateway.service")
    assert [name for name in starters if "--no-server-header" not in read(name)] == []
    assert "server" not in httpx.get(f"{service.url}/health").headers


def test_the_lock_pins_what_runs_with_hashes_and_names_no_host() -> None:
    lock = read("requirements.lock")
    entries = re.findall(
        r"(?m)^([\w.-]+)==(\S+)(?: ;.*)? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", lock
    )
    pinned = {name: version for name, version, _ in entries}
    assert len(entries) == lock.count("==") - len(re.findall(r" ;.*==", lock))
    assert "://" not in lock
    needed = requirements("requirements.txt")
    assert [
        name
        for name, requirement in needed.items()
        if name not in TEST_TOOLS and not requirement.specifier.contains(pinned.get(name, "0"))
    ] == []
    assert TEST_TOOLS & set(pinned) == set()
