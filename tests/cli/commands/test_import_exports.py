"""`mpal import` of what `mpal export` wrote, and of files that only look so."""

import errno
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REFERENCE = Path(__file__).parents[2] / "data" / "go-v0.12" / "moonpalace.sqlite"

type Mpal = Callable[..., Any]


def documents(text: str) -> list[dict[str, Any]]:
    """Return exported calls without what differs between stores."""
    found = [json.loads(line) for line in text.splitlines()]
    for each in found:
        each["metadata"].pop("moonpalace_id")
        each["tags"] = [tag for tag in each.get("tags", []) if tag != "imported"]
    return sorted(found, key=lambda each: json.dumps(each, sort_keys=True))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the original's file."""
    return Path(shutil.copyfile(REFERENCE, tmp_path_factory.mktemp("old") / "old.sqlite"))


@pytest.mark.parametrize("ending", ["json", "jsonl", "zip"])
def test_a_case_travels(mpal: Mpal, old: Path, tmp_path: Path, ending: str) -> None:
    """What one store exports another takes in once, tagged, and exports again as it was."""
    there = str(tmp_path / "there.sqlite")
    mpal("import", str(old))
    mpal("label", "--id", "3", "--bad", "--tag", "late", "--note", "why?")
    file = tmp_path / f"cases.{ending}"
    mpal("export", "--all", "--allow-secrets", "-o", str(file), *(["--format", "jsonl"] if ending == "jsonl" else []))
    result = mpal("import", str(file), "--database", there)
    assert (result.code, result.out, result.err) == (0, "imported 49 calls\n", "")
    assert mpal("import", str(file), "--database", there).out == "imported 0 calls, 49 were here already\n"
    exported = [
        mpal("export", "--all", "--allow-secrets", "--format", "jsonl", "-o", "-", "--database", database).out
        for database in (str(tmp_path / "home" / "moonpalace.sqlite"), there)
    ]
    assert exported[0].count("\n") == 49
    assert documents(exported[1]) == documents(exported[0])
    assert mpal("list", "--tag", "imported", "--count", "--database", there).out == "49\n"
    for command in (("log",), ("show",), ("why",), ("inspect", "--id", "1"), ("inspect", "--id", "1", "--chat")):
        assert mpal(*command, "--database", there).code == 0


GOOD: dict[str, Any] = {
    "metadata": {"requested_at": "2026-11-30 05:00:00", "state": "completed"},
    "request": {"url": "http://a/v1/x", "header": "", "body": {"model": "m"}},
    "response": {"status": "200 OK", "header": "", "body": {}},
}


def changed(**metadata: str) -> str:
    """Return an export with some metadata changed."""
    return json.dumps(GOOD | {"metadata": GOOD["metadata"] | metadata})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[]", "there is no call in it"),
        ("{", "not JSON"),
        ("\0", "not JSON"),
        ("[1]", "Expected `object`, got `int`"),
        ("{}", "missing required field `metadata`"),
        ('{"metadata": {"a": 1}, "request": {}}', "Expected `str`, got `int` - at `$.metadata"),
        (changed(requested_at="soon"), "metadata.requested_at is no time"),
        (changed(requested_at="2600-01-01 00:00:00"), "metadata.requested_at is no time"),
        (changed(endpoint="http://["), "metadata.endpoint is no URL"),
        (changed(state="lost"), "metadata.state is no state of a call"),
        (changed(latency="9" * 400), "metadata.latency is no whole number"),
        (changed(prompt_tokens="-1"), "metadata.prompt_tokens is no whole number"),
        (changed(cost="1e999"), "metadata.cost is no number"),
        (json.dumps(GOOD | {"category": "odd"}), "category must be goodcase or badcase"),
        (json.dumps(GOOD | {"tags": ["a\nb"]}), "a tag is empty, too long or not printable"),
        (json.dumps(GOOD | {"request": {"body_base64": "?"}}), "a body is no base64"),
        ('{"metadata": {}, "request": {"body": ' + "[" * 10_000 + "]" * 10_000 + "}}", ""),
        (json.dumps(GOOD) + "\n" + "{", "not JSON"),
    ],
)
@pytest.mark.usefixtures("store")
def test_hostile_files(mpal: Mpal, tmp_path: Path, text: str, said: str) -> None:
    """One line says what is wrong, and nothing of the file is stored."""
    file = tmp_path / "case.json"
    file.write_text(text, encoding="utf-8")
    result = mpal("import", str(file))
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: cannot import ")
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert mpal("list", "--count").out == "0\n"


@pytest.mark.usefixtures("store")
def test_nul_and_secrets(mpal: Mpal, tmp_path: Path) -> None:
    """A NUL is kept as far as a store can, and a key in a file is masked like one in a call."""
    key = "sk-Wq7Zx3Rt9pLm2Vb8Nc4Kd6Hf"
    body = {"model": "m\0", "messages": [{"role": "user", "content": f"a\0b {key}"}]}
    file = tmp_path / "case.json"
    request = {"url": "http://a/v1/x", "header": f"Authorization: Bearer {key}\r\n", "body": body}
    labels = {"note": f"a\0b {key}", "tags": [key]}
    file.write_text(json.dumps(GOOD | {"request": request} | labels), encoding="utf-8")
    assert mpal("import", str(file)).out == "imported 1 call\n"
    shown = mpal("export", "1", "--allow-secrets", "-o", "-").out
    assert key not in shown
    assert "a\\u0000b" in shown


@pytest.mark.parametrize("kind", ["bomb", "broken", "encrypted", "name", "lzma"])
@pytest.mark.usefixtures("store")
def test_hostile_bundles(mpal: Mpal, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip that unpacks to too much, or not at all, is refused."""
    monkeypatch.setattr("moonpalace_addons.store.incoming.document_files.MAX_BYTES", 1_000_000)
    file = tmp_path / "cases.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA if kind == "lzma" else zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("ä.json", json.dumps(GOOD))
        bundle.writestr("b.json", " " * (3_000_000 if kind == "bomb" else 10))
    data = bytearray(file.read_bytes())
    if kind == "broken":
        data[40:50] = b"\0" * 10
    if kind == "lzma":
        data[41:46] = b"\xff" * 5  # its properties
    if kind == "name":
        data = data.replace("ä".encode(), b"\xff" * 2)
    if kind == "encrypted":
        data[data.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(data)
    result = mpal("import", str(file))
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert result.err.startswith("Error: cannot import ")
    assert mpal("list", "--count").out == "0\n"


@pytest.mark.usefixtures("store")
def test_a_file_that_may_not_be_read(mpal: Mpal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says why."""
    file = tmp_path / "case.json"
    file.touch()

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    result = mpal("import", str(file))
    assert (result.code, result.err) == (1, f"Error: cannot import {file}: Permission denied\n")
