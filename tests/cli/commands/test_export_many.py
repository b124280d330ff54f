"""Tests of exporting many calls at once."""

import json
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from moonpalace_cli.commands.export import REPORT
from moonpalace_cli.export.formats import FORMATS
from tests.cli.conftest import Mpal, Store

REQUEST = b'{"model": "k", "messages": [{"role": "user", "content": "hi"}]}'
RESPONSE = b'{"choices": [{"message": {"role": "assistant", "content": "ho"}}]}'
KEY = "sk-Wq7Zx3Rt9pLm2Vb8Nc4Kd6Hf"


@pytest.fixture
def three(store: Store) -> Store:
    """Store three calls: two answers with one id, and a list of models."""
    store.add(request=REQUEST, response=RESPONSE)
    store.add(request=REQUEST, response=RESPONSE, model_requested="other")
    store.add(method="GET", path="/v1/models", chatcmpl_id=None)
    return store


def ids_of(lines: str) -> list[str]:
    """Return the ids of calls in JSON Lines."""
    return [json.loads(line)["metadata"]["moonpalace_id"] for line in lines.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--all"], ["1", "2", "3"]),
        (["--last", "2"], ["2", "3"]),
        (["--last", "9"], ["1", "2", "3"]),
        (["--id", "3", "--id", "1", "--id", "3"], ["3", "1"]),
        (["--last", "1", "--format", "jsonl"], ["3"]),
    ],
)
def test_chosen_calls(three: Store, mpal: Mpal, arguments: list[str], ids: list[str]) -> None:
    """Several calls are one JSON object per line, oldest first, or in the order of their names."""
    result = mpal("export", *arguments)
    assert (result.code, result.err, ids_of(result.out)) == (0, "", ids)


def test_predicates(three: Store, mpal: Mpal) -> None:
    """Calls that match all predicates are exported, with --last the newest of them, and can be labelled."""
    chats = ("-p", "request_body.messages.0.role == 'user'", "--predicate", "status == 200")
    assert ids_of(mpal("export", *chats).out) == ["1", "2"]
    assert ids_of(mpal("export", *chats, "--last", "1").out) == ["2"]
    assert mpal("label", *chats, "--bad", "--tag", "x").out == "labelled 2 calls\n"
    assert ids_of(mpal("export", "-p", "tags == 'x'", "-p", "category == 'badcase'").out) == ["1", "2"]
    result = mpal("export", "-p", "id > 3")
    assert (result.code, result.out) == (1, "")
    assert result.err == "Error: no stored call matches; mpal list shows the stored calls\n"
    assert mpal("export", "-p", "nothing == 1").code == 2


def test_last_call(three: Store, mpal: Mpal) -> None:
    """--last without a number is the last call, as a document."""
    result = mpal("export", "--last")
    assert result.out == mpal("export", "--id", "3").out
    assert json.loads(result.out)["metadata"]["moonpalace_id"] == "3"


def test_json_array(three: Store, mpal: Mpal) -> None:
    """With --format json several calls are one JSON array."""
    documents = json.loads(mpal("export", "--all", "--format", "json").out)
    assert documents == [json.loads(mpal("export", "--id", str(number)).out) for number in (1, 2, 3)]


def test_folder(three: Store, mpal: Mpal, tmp_path: Path) -> None:
    """A folder gets a file for each call, even if two have one name; again, nothing is written twice or overwritten."""
    folder = tmp_path / "out"
    names = ["chatcmpl-00000001.json", "chatcmpl-00000001-2.json", "req-00000001-aaaa-bbbb.json"]
    for _ in range(2):
        result = mpal("export", "--all", "--directory", str(folder))
        assert (result.code, result.err) == (0, f"exported 3 calls into {folder}\n")
        assert result.out.splitlines() == [str(folder / name) for name in names]
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for number, name in enumerate(names, 1):
        assert (folder / name).read_text() == mpal("export", "--id", str(number)).out
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_files_of_others_are_kept_unless_forced(three: Store, mpal: Mpal, tmp_path: Path) -> None:
    """An existing file is kept and the call gets another name; --force overwrites it, each file once."""
    (tmp_path / "chatcmpl-00000001.json").write_text("mine")
    arguments = ("export", "--id", "1", "--id", "2", "--directory", str(tmp_path))
    kept = mpal(*arguments).out.splitlines()
    assert [path.rpartition("/")[2] for path in kept] == ["chatcmpl-00000001-1.json", "chatcmpl-00000001-2.json"]
    assert (tmp_path / "chatcmpl-00000001.json").read_text() == "mine"
    forced = mpal(*arguments, "--force").out.splitlines()
    assert [path.rpartition("/")[2] for path in forced] == ["chatcmpl-00000001.json", "chatcmpl-00000001-2.json"]
    assert json.loads((tmp_path / "chatcmpl-00000001.json").read_text())["metadata"]["moonpalace_id"] == "1"


def test_bundle(three: Store, mpal: Mpal, tmp_path: Path) -> None:
    """A zip has a file for each call and an index of them; it is private."""
    path = tmp_path / "calls.zip"
    result = mpal("export", "--all", "--tag", "t", "-o", str(path))
    assert (result.code, result.out, result.err) == (0, "", "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as bundle:
        assert bundle.testzip() is None
        index: Any = json.loads(bundle.read("index.json"))
        assert [(row["id"], row["path"], row["tags"]) for row in index] == [
            (1, "/v1/chat/completions", ["t"]),
            (2, "/v1/chat/completions", ["t"]),
            (3, "/v1/models", ["t"]),
        ]
        assert bundle.namelist() == [*(row["file"] for row in index), "index.json"]
        for row in index:
            assert bundle.read(row["file"]).decode() == mpal("export", "--id", str(row["id"])).out


def test_file(three: Store, mpal: Mpal, tmp_path: Path) -> None:
    """One file has all calls, and replaces an existing one only when it is complete."""
    path = tmp_path / "calls.jsonl"
    path.write_text("old")
    assert mpal("export", "--all", "-o", str(path)).code == 0
    assert ids_of(path.read_text()) == ["1", "2", "3"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert mpal("export", "--id", "3", "--id", "3", "--format", "dataset", "-o", str(path)).code == 1
    assert ids_of(path.read_text()) == ["1", "2", "3"]
    assert [one.name for one in tmp_path.iterdir() if one.name != "home"] == ["calls.jsonl"]


def test_calls_that_do_not_fit(three: Store, mpal: Mpal) -> None:
    """Calls that do not fit the format are left out, with a message; if none is left, it is an error."""
    result = mpal("export", "--all", "--format", "dataset")
    assert (result.code, len(result.out.splitlines())) == (0, 2)
    assert result.err == "left out as dataset: is not a chat completion (1)\n"
    three.add(method="GET", path="/v1/models")
    result = mpal("export", "--last", "2", "--format", "openai-batch")
    assert (result.code, result.out) == (1, "")
    assert result.err == "Error: none of the 2 calls can be exported as openai-batch: is not a chat completion (2)\n"


@pytest.mark.parametrize("form", [name for name in FORMATS if name != REPORT])
def test_every_format(three: Store, mpal: Mpal, tmp_path: Path, form: str) -> None:
    """Every format can be written to standard output, a file, a folder and a bundle, with the same content."""
    for _ in range(2):
        three.add(request=REQUEST, response=RESPONSE, events=b"data: {}\n\n", is_stream=True)
    result = mpal("export", "--id", "4", "--id", "5", "--format", form)
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith("\n")
    mpal("export", "--id", "4", "--id", "5", "--format", form, "-o", str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == result.out
    alone = mpal("export", "--id", "4", "--format", form).out
    (path,) = mpal("export", "--id", "4", "--format", form, "--directory", str(tmp_path)).out.splitlines()
    assert Path(path).read_text() == alone
    mpal("export", "--id", "4", "--format", form, "-o", str(tmp_path / "x.zip"))
    with zipfile.ZipFile(tmp_path / "x.zip") as bundle:
        assert bundle.read(path.rpartition("/")[2]).decode() == alone


def test_escaped_html(store: Store, mpal: Mpal) -> None:
    """--escape-html escapes in every JSON format."""
    store.add(request=b'{"messages": ["<b>"]}')
    for form in ("json", "jsonl", "har", "openai-batch"):
        text = mpal("export", "--id", "1", "--format", form, "--escape-html").out
        assert "\\u003cb\\u003e" in text
        assert "<" not in text


def test_secret_is_refused(three: Store, mpal: Mpal, tmp_path: Path) -> None:
    """An export with a secret writes nothing and says where it is, unless it is allowed or redacted."""
    three.add(request=f'{{"messages": [{{"content": "my key {KEY}"}}]}}'.encode(), note=f"also {KEY}")
    for where in (["--directory", str(tmp_path / "out")], ["-o", str(tmp_path / "x.zip")], []):
        result = mpal("export", "--all", *where)
        assert (result.code, result.out) == (1, "")
        assert result.err == (
            "Error: call 4 seems to contain a secret: API key in its note (and in 1 more place); "
            "--redact replaces secrets, --allow-secrets exports it unchanged\n"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert mpal("export", "--all", "--allow-secrets").out.count(KEY) == 2
    redacted = mpal("export", "--all", "--redact")
    assert (redacted.code, KEY in redacted.out, redacted.out.count("secret-")) == (0, False, 2)


def test_redacted_everywhere(three: Store, mpal: Mpal) -> None:
    """Account ids have one pseudonym in all calls, formats and runs, and the settings' pattern applies."""
    texts = [mpal("export", "--all", "--redact", "--format", form).out for form in ("jsonl", "har", "jsonl")]
    assert texts[0] == texts[2]
    assert "u-test" not in "".join(texts)
    user = json.loads(texts[0].splitlines()[0])["metadata"]["user_id"]
    assert texts[1].count(user) >= 3
    changed = mpal("export", "--id", "1", "--redact", "--redact-pattern", "h[io]").out
    assert '"content": "match-' in changed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--all", "--last", "2"], "--all and --last exclude each other"),
        (["--id", "1", "--all"], "--id and --all exclude each other"),
        (["--id", "1", "--id", "2", "--chatcmpl", "x"], "several --id and --chatcmpl exclude each other"),
        (["--last", "0"], None),
        (["--last", "x"], None),
        (
            ["--all", "--force", "-o", "x"],
            "--force is for --directory: a file given by --output is always overwritten",
        ),
    ],
)
def test_contradictions(three: Store, mpal: Mpal, arguments: list[str], message: str | None) -> None:
    """Contradictory flags are wrong usage, in one line."""
    result = mpal("export", *arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message is None or result.err == f"Error: {message} (see mpal export --help)\n"


def test_nothing_is_stored(store: Store, mpal: Mpal) -> None:
    """Without any call there is nothing to export."""
    result = mpal("export", "--all")
    assert (result.code, result.out, result.err) == (
        1,
        "",
        "Error: no call is stored yet: run mpal start and make a call through it\n",
    )


def test_pipe(three: Store, mpal: Mpal, tmp_path: Path) -> None:
    """A named pipe is written to, not replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert mpal("export", "--all", "-o", str(pipe)).code == 0
    with os.fdopen(reading, "rb") as file:
        assert ids_of(file.read().decode()) == ["1", "2", "3"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
