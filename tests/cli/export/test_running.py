"""Tests of running an export: progress, and `mpal list --export`."""

import io
import json
from pathlib import Path

import pytest

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.export.destinations import to_standard_output
from moonpalace_cli.export.formats import FORMATS
from moonpalace_cli.export.running import Plan, export, export_listed
from moonpalace_cli.text.progress import QUIET_LIMIT
from tests.cli.conftest import Store


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        """Tell that it is a terminal."""
        return True


@pytest.mark.parametrize(
    ("calls", "shows_bar", "seen"),
    [(QUIET_LIMIT, True, False), (QUIET_LIMIT + 1, True, True), (QUIET_LIMIT + 1, False, False)],
)
def test_progress(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    calls: int,
    shows_bar: bool,
    seen: bool,
) -> None:
    """A terminal gets a bar on standard error, for more than a few calls."""
    ids = [store.add() for _ in range(calls)]
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    plan = Plan("jsonl", shows_bar=shows_bar)
    assert list(export(store.engine, ids, plan, to_standard_output(FORMATS["jsonl"], many=True))) == []
    assert len(capsys.readouterr().out.splitlines()) == calls
    shown = terminal.getvalue()
    assert ("Looking for secrets" in shown, "Exporting" in shown, "100%" in shown) == (seen, seen, seen)


def test_calls_that_are_gone(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A call that was deleted after its selection is left out without an error."""
    row_id = store.add()
    put = to_standard_output(FORMATS["jsonl"], many=True)
    assert list(export(store.engine, [row_id, row_id + 1], Plan("jsonl"), put)) == []
    assert len(capsys.readouterr().out.splitlines()) == 1
    with pytest.raises(MoonPalaceError, match=r"^none of the 1 calls is still stored$"):
        list(export(store.engine, [row_id + 1], Plan("jsonl"), to_standard_output(FORMATS["jsonl"], many=True)))


def test_listed_calls(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list's calls are written into a folder, one file each, redacted or escaped as requested."""
    ids = [store.add(request=b'{"user": "<alice>"}') for _ in range(2)]
    export_listed(store.engine, ids, tmp_path / "plain", pattern=None, redact=False, escaped=True)
    assert capsys.readouterr().err == f"exported 2 calls into {tmp_path / 'plain'}\n"
    texts = [path.read_text() for path in (tmp_path / "plain").iterdir()]
    assert len(texts) == 2
    assert all("\\u003calice\\u003e" in text for text in texts)
    export_listed(store.engine, ids[:1], tmp_path / "redacted", pattern=None, redact=True, escaped=False)
    assert capsys.readouterr().err == f"replaced: 2 accounts, 1 user\nexported 1 call into {tmp_path / 'redacted'}\n"
    (path,) = (tmp_path / "redacted").iterdir()
    assert json.loads(path.read_text())["request"]["body"]["user"].startswith("user-")
