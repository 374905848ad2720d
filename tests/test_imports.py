"""The import rules of docs/architecture.md, checked against the actual imports."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from tests.processes import ROOT

# Each layer may import itself and the layers below it.
LAYERS = (
    *({"main"}, {"api"}, {"services"}, {"task_service", "tasks", "users"}, {"forms"}),
    *({"database", "webapp_service"}, {"db", "runninghub", "files", "webhooks"}),
    {"models", "transitions", "config", "errors", "secret_key", "logs", "metrics"},
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
STORAGE, UPSTREAM = {"database", "db"}, {"webapp_service", "runninghub", "files"}
HTTP_SERVER, NOTHING = {"main", "api"}, set[str]()
HTTP_CLIENT = {"runninghub", "files", "webhooks", "users"}
DATABASE_DRIVER = {"db"}
ONLY_IN = {
    **dict.fromkeys(("fastapi", "starlette"), HTTP_SERVER),
    **dict.fromkeys(("httpx", "aiohttp", "httpx_aiohttp"), HTTP_CLIENT),
    "jwt": {"users"},
    "prometheus_client": {"api"},
    **dict.fromkeys(("sqlite3", "aiosqlite", "asyncpg", "psycopg"), DATABASE_DRIVER),
    **dict.fromkeys(("simulator", "bench", "tests"), NOTHING),
}
FOLDERS = sorted(name for name in LAYER if (ROOT / name).is_dir())
FILES = [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in FILES}


def imports(module: str) -> Iterator[str]:
    """What a module imports; `from api import x` is `api.x` where that is a module."""
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: write imports in full"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in MODULES else str(node.module) for name in names)


IMPORTS = {module: set(imports(module)) for module in MODULES}
PAIRS = [(module, name) for module, names in IMPORTS.items() for name in names]


def top(name: str) -> str:
    return name.partition(".")[0]


def test_every_module_at_the_root_has_a_layer() -> None:
    assert {top(module) for module in MODULES} <= LAYER.keys()


def test_each_layer_imports_only_itself_and_the_layers_below() -> None:
    wrong = [pair for pair in PAIRS if LAYER.get(top(pair[1]), 99) < LAYER[top(pair[0])]]
    assert wrong == []


def test_storage_and_runninghub_never_import_each_other() -> None:
    wrong = [
        (module, name)
        for module, name in PAIRS
        for one, other in ((STORAGE, UPSTREAM), (UPSTREAM, STORAGE))
        if top(module) in one and top(name) in other
    ]
    assert wrong == []


def test_each_library_is_imported_only_where_it_belongs() -> None:
    wrong = [(module, name) for module, name in PAIRS if top(module) not in ONLY_IN.get(top(name), LAYER)]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({module: names & MODULES.keys() for module, names in IMPORTS.items()}).prepare()
