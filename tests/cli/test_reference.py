"""What the original printed for its database, beside what `mpal` prints for it after the upgrade.

Every run of `list`, `inspect` and `export` in `commands.tsv` that needs no predicate is compared. What differs on
purpose, and why:

- bodies are shown as they are, where the original wrote `<`, `>` and `&` as JSON escapes;
- headers are printed with plain line ends, and the first line without a space at its end;
- metadata has more entries: the state, the model, the tokens, the reason of the end, warnings;
- `list` shows the code, or of a failed call its state, where the original showed the words of the code, or 0; it also
  shows the column `server_timing`, as the document does;
- `inspect` shows the error of a failed call without being asked, and the column `error` once, not twice;
- a part that there is not, such as the header of an answer that never came, is an empty column, not none;
- the body of an answer with an error is the response body, not the column `error`;
- the merged answer is a `chat.completion` with `message`, not a chunk with `delta`;
- `export` has the merged answer of a stream as the body and the events beside it, says that a call was
  interrupted for repeating itself, and tells further fields under `exchange`;
- the curl command runs as it is, its headers in the order in which the client sent them, without `Connection`;
- what is not found is exit code 1 with a sentence, not 2 with the words of the Go library.
"""

import csv
import json
import re
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from moonpalace_addons.store.database.opening import open_store

REFERENCE = Path(__file__).parents[1] / "data" / "go-v0.12"
ADDED = {"completion_tokens", "content_type", "finish_reason", "model", "prompt_tokens", "state", "total_tokens"}
ADDED |= {"cached_tokens", "reasoning_tokens", "warnings"}
UNSHOWN = {"Connection"}
CODES = {status.phrase: str(status.value) for status in HTTPStatus}
FAILED = ("upstream_failed", "proxy_died", "repeat_interrupted")
"""States that are listed instead of the code. The tests of the upgrade check which call has which."""


@dataclass(frozen=True, slots=True)
class Printed:
    """The output of a run."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the original."""

    name: str
    arguments: list[str]
    printed: Printed

    @property
    def kind(self) -> str:
        """Return the kind of the run."""
        return self.name.partition(".")[2] or self.name


def read(name: str) -> str:
    """Return the original's output, empty if there was none."""
    file = REFERENCE / "cli" / name
    return file.read_text(encoding="utf-8") if file.exists() else ""


def runs() -> list[Run]:
    """Return the runs to compare."""
    with (REFERENCE / "cli" / "commands.tsv").open(encoding="utf-8") as table:
        rows = list(csv.reader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Run(name, shlex.split(line), Printed(int(code), read(f"{name}.out"), read(f"{name}.err")))
        for name, code, line in rows
        if "--predicate" not in line and "help" not in name
    ]


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the original's database after the upgrade, where its times were written: in Shanghai."""
    file = tmp_path_factory.mktemp("upgraded") / "moonpalace.sqlite"
    shutil.copyfile(REFERENCE / "moonpalace.sqlite", file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        open_store(f"sqlite:///{file}").dispose()
    time.tzset()
    return file


@pytest.fixture
def mpal_on_it(tmp_path: Path, upgraded: Path, mpal: Callable[..., Printed]) -> Callable[..., Printed]:
    """Give a function that runs `mpal` on the upgraded database."""
    file = tmp_path / "home" / "moonpalace.sqlite"
    file.parent.mkdir()
    shutil.copyfile(upgraded, file)
    return mpal


def cells(table: str) -> list[dict[str, str]]:
    """Return the rows of a printed table; a cell over several lines is one text.

    Of two equal columns the last counts.
    """
    blocks: list[list[list[str]]] = [[]]
    for line in table.splitlines():
        if line.startswith("+"):
            blocks.append([])
        else:
            blocks[-1].append([cell[1:-1] for cell in line[1:-1].split("|")])
    head, body = (block for block in blocks if block)
    names = [name.strip() for name in head[0]]
    multiline = body[0][0].strip() == "{"  # only then is a row of several lines one row
    groups = [body] if multiline else [[line] for line in body]
    return [
        {name: "\n".join(line[place].rstrip() for line in group).rstrip() for place, name in enumerate(names)}
        for group in groups
    ]


def unescaped(text: str) -> str:
    """Return JSON text without the original's HTML escapes."""
    return re.sub(r"\\u00(3c|3e|26)", lambda found: chr(int(found[1], 16)), text)


def packed(text: str) -> str:
    """Return a wrapped text without whitespace."""
    return unescaped(re.sub(r"\s", "", text))


def message(text: str) -> str:
    """Return a printed message with plain line ends."""
    return unescaped(text.replace("\r\n", "\n")).replace("HTTP/1.1 \n", "HTTP/1.1\n").strip()


def check_metadata(theirs: dict[str, str], ours: dict[str, str]) -> None:
    """Check that all the original's metadata are there, and nothing else except intended additions."""
    assert {name: ours.get(name) for name in theirs} == theirs
    assert set(ours) - set(theirs) <= ADDED


def check_tables(theirs: Printed, ours: Printed) -> None:
    """Check a table of parts."""
    (their,), (our,) = cells(theirs.out), cells(ours.out)
    check_metadata(json.loads(their.pop("metadata", "{}")), json.loads(our.pop("metadata", "{}")))
    if their.get("error", "").startswith("{"):
        their["response_body"] = their.pop("error")
    if "error" not in our:
        their.pop("error", None)
    assert {name: packed(our[name]) for name in their} == {name: packed(text) for name, text in their.items()}
    assert {name for name in set(our) - set(their) if our[name]} <= {"error"}


def check_message(theirs: Printed, ours: Printed) -> None:
    """Check a message in HTTP format."""
    assert message(ours.out) == message(theirs.out)


def as_completion(chunk: dict[str, Any]) -> dict[str, Any]:
    """Return the original's merged chunk as the equivalent completion."""
    if "object" in chunk and chunk["object"] == "chat.completion.chunk":
        chunk["object"] = "chat.completion"
        for choice in chunk["choices"]:
            choice["message"] = choice.pop("delta")
            if usage := choice.pop("usage", None):
                chunk["usage"] = usage
    return chunk


def check_merged(theirs: Printed, ours: Printed) -> None:
    """Check a message with the merged answer of a stream."""
    (their_head, _, their_body), (our_head, _, our_body) = (
        message(run.out).partition("\n\n") for run in (theirs, ours)
    )
    assert our_head == their_head
    if not their_body.startswith("{"):
        assert our_body == their_body
        return
    assert json.loads(our_body) == as_completion(json.loads(their_body))


def check_export(theirs: Printed, ours: Printed) -> None:
    """Check an exported document."""
    their, our = json.loads(theirs.out), json.loads(ours.out)
    check_metadata(their.pop("metadata"), our.pop("metadata"))
    assert our.pop("exchange")["method"] == "POST"
    events = our["response"].pop("event_stream", None)
    if events is not None:
        our["response"]["body"] = events
    if our.get("error") == "repeat_interrupted":
        del our["error"]
    assert our == their


def check_curl(theirs: Printed, ours: Printed) -> None:
    """Check a curl command by what it sends."""
    their, our = curl(theirs.out.rstrip("\n\\").replace('"\\\n', '" \\\n')), curl(ours.out)
    assert our == their


def curl(command: str) -> tuple[str, str, set[str], str]:
    """Return the method, the address, the headers and the data of a curl command."""
    words = shlex.split(command.replace("\\\n", " "))
    headers = {words[place + 1] for place, word in enumerate(words) if word == "-H"}
    data = [words[place + 1] for place, word in enumerate(words) if word in ("-d", "--data-raw")]
    sent = {header for header in headers if header.partition(":")[0] not in UNSHOWN}
    return words[2], words[3], sent, "".join(data)


def check_list(theirs: Printed, ours: Printed) -> None:
    """Check a list of calls."""
    their_rows, our_rows = cells(theirs.out), cells(ours.out)
    assert [row["id"] for row in our_rows] == [row["id"] for row in their_rows]
    for their, our in zip(their_rows, our_rows, strict=True):
        same = set(their) - {"status", "server_timing"}
        assert {name: our[name] for name in same} == {name: their[name] for name in same}
        timing = their.get("server_timing", our["server_timing"])
        assert our["server_timing"] == ("" if timing == "0" else timing)
        code = CODES.get(their["status"], their["status"])
        assert our["status"] == code or our["status"] in FAILED


def check_refused(theirs: Printed, ours: Printed) -> None:
    """Check that a failure is one line."""
    assert theirs.code == 2
    assert ours.code in (1, 2)
    assert ours.out == ""
    assert ours.err.startswith("Error: ")
    assert ours.err.count("\n") == 1


CHECKS: dict[str, Callable[[Printed, Printed], None]] = {
    "list": check_list,
    "list_verbose": check_list,
    "list_chatonly_n100": check_list,
    "inspect": check_tables,
    "by_chatcmpl": check_tables,
    "inspect_bodies": check_tables,
    "inspect_all": check_tables,
    "inspect_print_request": check_message,
    "inspect_print_response": check_message,
    "inspect_print_response_merged": check_merged,
    "export": check_export,
    "export_tags": check_export,
    "export_curl": check_curl,
    "inspect_missing": check_refused,
    "export_none": check_refused,
}


@pytest.mark.parametrize("run", runs(), ids=lambda run: run.name)
def test_what_the_original_printed(mpal_on_it: Callable[..., Printed], run: Run) -> None:
    """Each run has the original's output, except for the differences listed in this module."""
    ours = mpal_on_it(*run.arguments)
    if run.printed.code == 0:
        assert ours.code == 0, ours.err
    CHECKS[run.kind](run.printed, ours)


def test_runs_are_found() -> None:
    """The table holds the runs that are to be compared."""
    assert len(runs()) > 80
    assert {run.kind for run in runs()} == set(CHECKS)
