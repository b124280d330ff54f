"""Bring the outputs and tables in the READMEs and guides up to date: `python -m tests.docs`. docs.py checks them.

In a `console` block every line `$ mpal …` is followed by the command's output, on a store with the calls of `mpal
demo`. A line `…` in the document stands for omitted lines. Tables generated from the code are between two comments.
"""

import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tests.forks import Command, Forks

ROOT = Path(__file__).parents[1]
READMES = (ROOT / "README.md", ROOT / "examples" / "README.zh.md")
GUIDES = tuple(sorted((ROOT / "examples" / "guide").rglob("*.md")))
NOT_RUN = ("start", "demo", "mock")
LOCALES = {"": "C.UTF-8", "zh": "zh_CN.UTF-8"}
"""The locale in which commands run, by the document's language."""
EXPLAINER = "explain.yaml"
"""The configuration for `mpal explain`."""
BLOCK = re.compile(r"(```console\n)(.*?)(```)", re.DOTALL)
TABLE = re.compile(r"(<!-- (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

VOLATILE = (
    (r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d:\d\d)?(\.\d+[-+]\d\d:\d\d)?", "<time>"),
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "<time>"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
    (r'"(latency|response_ttft|response_tpot|response_otps)": "[\d.]+"', r'"\1": "<measured>"'),
    (r'"(latency|overhead|time_to_headers|output_tokens_per_second)": [\d.]+', r'"\1": <measured>'),
    (r"\b[\d.]+ ?((ms|s|min)\b|秒|分钟)", "<duration>"),
    (r"Python-urllib/[\d.]+", "Python-urllib/<version>"),
    (r"=====RECORD-[0-9a-f]{24}=====", "<marker>"),
    (r"(about|约) [\d,]+ (tokens|个 token)", r"\1 <number> \2"),
    (r" +", " "),
    (r"-{3,}", "---"),
)


def normal(text: str) -> str:
    """Normalise the parts of a text that differ between runs: times, ports, and the widths that depend on them."""
    for pattern, replacement in VOLATILE:
        text = re.sub(pattern, replacement, text)
    return text.strip()


@dataclass(frozen=True)
class Demo:
    """A store with the calls of `mpal demo`: the environment of commands, and the process that forks them."""

    environment: Mapping[str, str]
    forks: Forks


@contextmanager
def demo_store() -> Iterator[Demo]:
    """Give the store."""
    from moonpalace_cli.commands import demo
    from moonpalace_cli.mock.server import MockServer

    with tempfile.TemporaryDirectory() as folder, MockServer() as mock:
        environment = demo.clean_environment(Path(folder))
        silent = io.StringIO()  # the demo repeats the log of its proxy
        with redirect_stdout(silent), redirect_stderr(silent), demo.proxy(mock.url, environment) as (base_url, log):
            for number, (_, body) in enumerate(demo.CALLS, 1):
                demo.call(base_url, body)
                log.wait_for(f"last_insert_id=({number})\n")
        explainer = f"explain: {{endpoint: '{mock.url}', model: mock-helper, key: sk-demo}}\n"
        (Path(folder) / EXPLAINER).write_text(explainer)
        demo_forks = Forks("mpal", environment)
        try:
            yield Demo(environment, demo_forks)
        finally:
            demo_forks.close()


def language_of(document: Path) -> str:
    """Return the language of a document, empty for English."""
    return "zh" if "zh" in (document.parent.name, *document.name.split(".")) else ""


def printed(command: str, store: Demo, language: str) -> str:
    """Return the output of an `mpal` command on both streams, in a language."""
    store = replace(store, environment={**store.environment, "LC_ALL": LOCALES[language]})
    if shlex.split(command)[1] == "explain":
        with explaining(store.environment) as own:
            return output(command, replace(store, environment=own))
    return output(command, store)


@contextmanager
def explaining(environment: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Give an environment in which the mock explains, on a copy of the store, since it adds calls."""
    home = Path(environment["MOONPALACE_HOME"])
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(home, folder, dirs_exist_ok=True)
        yield {**environment, "MOONPALACE_HOME": folder, "MOONPALACE_CONFIG": str(Path(folder) / EXPLAINER)}


def output(command: str, store: Demo) -> str:
    """Return the output of a command."""
    return store.forks.popen(Command("mpal", tuple(shlex.split(command)[1:]), store.environment)).output()


def sessions(block: str) -> list[tuple[str, str]]:
    """Return the commands of a console block with the output that the document shows for each."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


def is_run(command: str) -> bool:
    """Return whether a command's output is checked."""
    words = shlex.split(command)
    return words[0] == "mpal" and words[1] not in NOT_RUN


def is_current(shown: str, real: str) -> bool:
    """Return whether the document shows the command's current output."""
    pattern = ".*".join(re.escape(normal(piece)) for piece in re.split(r"^…$", shown, flags=re.MULTILINE))
    return re.fullmatch(pattern, normal(real), re.DOTALL) is not None


def updated_block(block: str, store: Demo, language: str) -> str:
    """Return a console block with current outputs; one with a line `…` is kept while it is correct."""
    result = ""
    for command, shown in sessions(block):
        real = printed(command, store, language) if is_run(command) else shown
        keep = not is_run(command) or is_current(shown, real)
        result += f"$ {command}\n{shown if keep else real}"
    return result


def settings_table() -> str:
    """Return the table of settings in Markdown."""
    from moonpalace_addons.settings.table import TABLE

    rows = ["| flag | variable | what it does |", "| --- | --- | --- |"]
    for setting in TABLE:
        flag = f"`-{setting.short}`, " if setting.short else ""
        rows.append(f"| {flag}`--{setting.name}` | `{setting.env}` | {setting.help.replace('|', '\\|')} |")
    return "\n".join(rows) + "\n"


def telemetry_table() -> str:
    """Return the table of the names sent to OpenTelemetry in Markdown."""
    from moonpalace_addons.store.telemetry import names

    rows = [f"Conventions: {names.CONVENTIONS}.", "", "| attribute of a span | value |", "| --- | --- |"]
    for each in names.ATTRIBUTES:
        listed = ", ".join(f"`{name}`" for name in (each.name, *each.also))
        rows.append(f"| {listed} | {each.meaning} |")
    rows += [f"| `{name}` | {meaning}; only with `--otel-content` |" for name, meaning in names.CONTENT.items()]
    rows += ["", "| metric | what it measures |", "| --- | --- |"]
    kinds = {True: "histogram", False: "sum"}
    known = {metric.name: metric for metric in names.METRICS}
    rows += [
        f"| `{metric.name}` | {metric.meaning}; {kinds[bool(metric.bounds)]} in `{metric.unit}` |"
        for metric in known.values()
    ]
    return "\n".join(rows) + "\n"


def view_table(name: str) -> str:
    """Return the table of a view's columns in Markdown."""
    from moonpalace_addons.store.sql_views.columns import COLUMNS

    rows = [f"| `{column.name}` | {column.meaning.replace('|', '\\|')} |" for column in COLUMNS[name]]
    return "\n".join(["| column | meaning |", "| --- | --- |", *rows, ""])


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": settings_table,
    "otel": telemetry_table,
    **{view: partial(view_table, view) for view in ("calls", "messages", "events")},
}
"""The tables by the names in their comments."""


def updated(text: str, store: Demo, language: str) -> str:
    """Return a document with current outputs and tables."""
    text = BLOCK.sub(lambda found: found[1] + updated_block(found[2], store, language) + found[3], text)
    return TABLE.sub(lambda found: found[1] + TABLES[found[2]]() + found[4], text)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "addons")]
    os.chdir(ROOT)
    with demo_store() as found:
        for document in (*READMES, *GUIDES):
            document.write_text(updated(document.read_text(), found, language_of(document)))
