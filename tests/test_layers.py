"""The import rules between the layers, and the modules that quick commands must not import."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.tables import for_each

ROOT = Path(__file__).parents[1]
ADDONS = ROOT / "addons"
STANDARD = frozenset(sys.stdlib_module_names)

OURS = "moonpalace_addons"
WIRE, STORE = f"{OURS}.wire", f"{OURS}.store"

# The command line reads these too, without the cost of mitmproxy.
SETTINGS = frozenset(
    {f"{OURS}.settings", f"{OURS}.errors", f"{WIRE}.suggestions", f"{WIRE}.prices", f"{WIRE}.secrets.names"}
    | {f"{WIRE}.otlp_environment"}
)

# What turns bytes into values: brotli and zstandard, and msgspec, which finds the pieces of JSON.
CODECS = frozenset({"brotli", "msgspec", "zstandard"})

# What all of the store may import.
BELOW = frozenset({STORE, WIRE, f"{OURS}.errors", f"{OURS}.version", "sqlalchemy"}) | CODECS

# The first rule whose package holds a module applies to it: what it may import beside the standard library.
RULES: tuple[tuple[str, frozenset[str]], ...] = (
    (WIRE, CODECS | {WIRE}),
    (f"{STORE}.query", BELOW | {"lark", "re2"}),
    (f"{STORE}.pricing", BELOW | {"genai_prices"}),
    (f"{STORE}.telemetry", BELOW | {"opentelemetry", "requests", "google.protobuf"}),
    (STORE, BELOW | {"alembic", "psycopg"}),
    (f"{OURS}.views", frozenset({f"{OURS}.views", STORE, WIRE})),
    (f"{OURS}.errors", frozenset()),
    (f"{OURS}.version", frozenset()),
    (f"{OURS}.settings.config_file", SETTINGS | {"yaml"}),
    (f"{OURS}.settings", SETTINGS),
    (f"{OURS}.mitm", frozenset({OURS, "mitmproxy", "argon2"})),
    (f"{OURS}.engine", frozenset({OURS, "mitmproxy", "certifi", "httptools", "wsproto"})),
    (OURS, frozenset({OURS, "mitmproxy", "cryptography"})),
    ("moonpalace", frozenset({OURS})),
)
MITM = ADDONS / OURS / "mitm"
"""The package of everything that uses mitmproxy's internals."""
INTERNALS = ("mitmproxy.proxy.layers", "mitmproxy.proxy.server", "mitmproxy.optmanager")


@dataclass(frozen=True, slots=True)
class Import:
    """One import in one of our files."""

    module: str
    line: int
    imported: str


def module_name(file: Path) -> str:
    """Return the name under which a file is imported."""
    parts = file.relative_to(ADDONS if file.is_relative_to(ADDONS) else ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(*folders: str) -> list[Path]:
    """Return our Python files in these folders of the project."""
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


@cache
def parsed(file: Path) -> list[ast.AST]:
    """Return the syntax tree of a file as a list of its nodes, which several tests use."""
    return list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


@cache
def imports(file: Path, *, types: bool = True) -> tuple[Import, ...]:
    """Find all imports of a file, including those inside functions; without `types`, only those executed."""
    nodes = parsed(file)
    left_out = set() if types else for_types_only(nodes)
    return tuple(found_imports(file, [node for node in nodes if node not in left_out]))


def found_imports(file: Path, nodes: list[ast.AST]) -> Iterator[Import]:
    """Find the imports among the nodes of a file."""
    module = module_name(file)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (Import(module, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} is relative"
            # `from package import name`: the name may be a module or something in the package.
            yield from (Import(module, node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def for_types_only(nodes: list[ast.AST]) -> set[ast.AST]:
    """Return the nodes under `if TYPE_CHECKING`, which is never executed."""
    conditions = [node for node in nodes if isinstance(node, ast.If)]
    found = [node.body for node in conditions if ast.unparse(node.test) == "TYPE_CHECKING"]
    return {each for body in found for statement in body for each in ast.walk(statement)}


def within(name: str, package: str) -> bool:
    """Return whether a dotted name is a package or something in it."""
    return name == package or name.startswith(f"{package}.")


def allowed(module: str) -> frozenset[str]:
    """Return the imports that the rule for a module allows."""
    return next(names for package, names in RULES if within(module, package))


def is_allowed(found: Import) -> bool:
    """Return whether an import follows the rules."""
    if found.imported.partition(".")[0] in STANDARD:
        return True
    return any(within(found.imported, name) for name in allowed(found.module))


ADDON_FILES = sources("addons")
CLI_FILES = sources("moonpalace_cli")


def test_the_files_are_found() -> None:
    """The tests below do find files of every layer."""
    found = {module_name(file) for file in ADDON_FILES + CLI_FILES}
    assert {"moonpalace", f"{OURS}.capture", f"{WIRE}.sse", f"{STORE}.schema", "moonpalace_cli.main"} <= found


def test_layers() -> None:
    """Each module imports only from the layers it may use, wherever in the file."""
    assert [found for file in ADDON_FILES for found in imports(file) if not is_allowed(found)] == []


@for_each(
    ("module", "imported", "expected"),
    [
        (f"{WIRE}.sse", "json.loads", True),
        (f"{WIRE}.sse", f"{WIRE}.chat.merging.merge", True),
        (f"{WIRE}.sse", f"{STORE}.tasks.State", False),
        (f"{WIRE}.sse", "mitmproxy.http", False),
        (f"{WIRE}.sse", "sqlalchemy", False),
        (f"{STORE}.write.writer", f"{WIRE}.sse.Decoder", True),
        (f"{STORE}.write.writer", f"{OURS}.errors.StoreError", True),
        (f"{STORE}.write.writer", f"{OURS}.settings.values.Settings", False),
        (f"{STORE}.write.writer", "mitmproxy.ctx", False),
        (f"{OURS}.views.chat_text", f"{STORE}.fields.model", True),
        (f"{OURS}.views.chat_text", "mitmproxy.http.HTTPFlow", False),
        (f"{OURS}.capture", "mitmproxy.http.HTTPFlow", True),
        (f"{OURS}.capture", "sqlalchemy.Engine", False),
        (f"{OURS}.capture", "click", False),
        (f"{OURS}.capture", "moonpalace_cli.main", False),
        (f"{OURS}.settings.values", "mitmproxy.ctx", False),
        (f"{OURS}.settings.values", "yaml", False),
        ("moonpalace", "mitmproxy", False),
    ],
)
def test_the_rules_themselves(module: str, imported: str, expected: bool) -> None:
    """The rules allow and forbid what the design says; a test that always passes would be noticed here."""
    assert is_allowed(Import(module, 1, imported)) is expected


def test_nothing_below_imports_the_command_line() -> None:
    """Only the command line itself, tests and examples import the command line."""
    below = [found for file in ADDON_FILES for found in imports(file)]
    assert [found for found in below if within(found.imported, "moonpalace_cli")] == []


def import_graph(files: list[Path]) -> dict[str, set[str]]:
    """Return for each of these modules which of them it imports, at any time."""
    modules = {module_name(file) for file in files}
    graph: dict[str, set[str]] = {}
    for file in files:
        names = {found.imported for found in imports(file, types=False)}
        graph[module_name(file)] = {name if name in modules else name.rpartition(".")[0] for name in names} & modules
    return graph


def test_no_import_circles() -> None:
    """No module imports itself indirectly, not even inside functions."""
    graphlib.TopologicalSorter(import_graph(ADDON_FILES + CLI_FILES)).prepare()


def test_import_circles_are_found() -> None:
    """Two modules that import each other are detected: if imports were not found, the test above would always pass."""
    graph = import_graph(ADDON_FILES)
    assert f"{STORE}.incoming.upgrade" in graph[f"{STORE}.database.opening"]
    graph[f"{STORE}.incoming.upgrade"].add(f"{STORE}.database.opening")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph).prepare()


ROOT_MODULES = {file.stem for file in (ADDONS / OURS).glob("*.py")} - {"__init__", "bundle"}
SHARED = {"errors", "version"}
"""Root modules that every module may import."""
SERVICES = {"configuration", "recorder"}
"""Addons that all other addons may use; `bundle` passes in any other object one needs of another."""


def from_root(file: Path) -> set[str]:
    """Return the forbidden root modules that a file imports."""
    if file == ADDONS / OURS / "bundle.py":
        return set()
    may = SHARED | SERVICES if file.parent == ADDONS / OURS else SHARED
    names = {found.imported.removeprefix(f"{OURS}.").partition(".")[0] for found in imports(file)}
    return (names & ROOT_MODULES) - may


def test_addons_do_not_know_each_other() -> None:
    """Addons import packages and the two services that all share; packages import no addon."""
    found = {file: from_root(file) for file in ADDON_FILES if file.is_relative_to(ADDONS / OURS)}
    assert {file: names for file, names in found.items() if names} == {}


def test_the_addons_are_known() -> None:
    """The test above would always pass if addons, or their imports, were not found."""
    assert {"capture", "context_cache", "edit_stream"} <= ROOT_MODULES - SHARED - SERVICES
    assert {
        found.imported.split(".")[1] for found in imports(ADDONS / OURS / "context_cache.py") if OURS in found.imported
    } >= SERVICES


def internals_used(file: Path) -> Iterator[str]:
    """Find imports of mitmproxy's internals, and attributes with `_` of any object except one's own."""
    for found in imports(file):
        if any(within(found.imported, name) for name in INTERNALS):
            yield f"{found.line}: {found.imported}"
        if within(found.imported, "mitmproxy") and found.imported.rpartition(".")[2].startswith("_"):
            yield f"{found.line}: {found.imported}"
    if not any(within(found.imported, "mitmproxy") for found in imports(file)):
        return
    for node in parsed(file):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner not in ("self", "cls"):
                yield f"{node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "setattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and is_private(str(name.value)):
                yield f"{node.lineno}: {ast.unparse(node)}"


def is_private(name: str) -> bool:
    """Return whether a name is marked as internal."""
    return name.startswith("_") and not name.startswith("__")


def test_internals_of_mitmproxy_stay_in_one_package() -> None:
    """Only one package uses mitmproxy's unstable internals."""
    found = {file: list(internals_used(file)) for file in ADDON_FILES + CLI_FILES if not file.is_relative_to(MITM)}
    assert {file: used for file, used in found.items() if used} == {}


def test_internals_are_recognised(tmp_path: Path) -> None:
    """proxy_server.py does use internals: if they were not detected, the test above would always pass."""
    used = " ".join(internals_used(MITM / "proxy_server.py"))
    assert "mitmproxy.proxy.layers.http.HttpLayer" in used
    assert "mitmproxy.optmanager" in used
    assert "mitmproxy.proxy.server.ConnectionHandler" in used
    assert "'_options'" in used


# ---- what the quick commands import -------------------------------------------------------------------------------

REPORT = """
import sys
from moonpalace_cli.main import main
code, *commands = sys.argv[1:]
for command in commands:
    assert main(command.split()) == int(code)
print("\\nIMPORTED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def imported_by(home: Path, *commands: str, code: int = 0) -> set[str]:
    """Run commands of `mpal` that end with an exit code in one process; return the top-level packages imported."""
    environment = {"MOONPALACE_HOME": str(home), "PYTHONPATH": f"{ROOT}:{ADDONS}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", REPORT, str(code), *commands]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return set(run.stdout.splitlines()[-1].split())


PROXY = {"mitmproxy", "tornado", "OpenSSL", "cryptography", "asyncio"}
DATABASE = {"sqlalchemy", "alembic", "sqlite3", "zstandard", "msgspec"}


@pytest.mark.parametrize(
    ("commands", "without"),
    [
        (["--help", "--version"], PROXY | DATABASE | {"yaml"}),
        (["start --help", "mock --help", "completion bash", "list --help"], PROXY | DATABASE),
    ],
    ids=["of all", "of commands"],
)
def test_help_is_light(tmp_path: Path, commands: list[str], without: set[str]) -> None:
    """Help imports neither the proxy nor the database, since it must be shown within 0.2 s."""
    names = imported_by(tmp_path, *commands)
    assert "click" in names
    assert names & without == set()


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with an empty store."""
    from moonpalace_addons.store.database.opening import open_store

    home = tmp_path_factory.mktemp("home")
    open_store(f"sqlite:///{home / 'moonpalace.sqlite'}", create=True).dispose()
    return home


def test_list_imports_no_proxy(empty_store: Path) -> None:
    """Searching the store imports the database, but nothing of the proxy."""
    names = imported_by(empty_store, "list -p id>0")
    assert "sqlalchemy" in names
    assert names & {"mitmproxy", "tornado", "OpenSSL", "cryptography"} == set()


@pytest.mark.parametrize(
    ("commands", "code"), [(["list", "log"], 0), (["show", "show --database none.sqlite"], 1)], ids=["none", "no last"]
)
def test_nothing_to_show_is_light(empty_store: Path, commands: list[str], code: int) -> None:
    """An empty result does not need SQLAlchemy, which takes most of the time of these commands."""
    names = imported_by(empty_store, *commands, code=code)
    assert names & {"sqlalchemy", "alembic", "zstandard", "msgspec", "mitmproxy"} == set()


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("moonpalace_addons.bundle", {"sqlalchemy", "alembic"}),
        (
            "moonpalace_addons.writer_process.server",
            {"mitmproxy", "alembic", "h11", "sqlalchemy.dialects.postgresql", "genai_prices"},
        ),
    ],
)
def test_each_process_has_its_half(module: str, without: set[str]) -> None:
    """The proxy starts without the database's libraries, the writer process without the proxy's."""
    report = "import sys, importlib; importlib.import_module(sys.argv[1]); print(*sys.modules)"
    command = [sys.executable, "-c", report, module]
    environment = {"PYTHONPATH": f"{ROOT}:{ADDONS}", "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    names = set(run.stdout.split())
    assert module in names
    assert names & without == set()
