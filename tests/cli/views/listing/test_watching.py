"""Tests of `mpal list --watch`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.read.following import Follower
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.tasks import State
from moonpalace_cli.views.listing.columns import chosen
from moonpalace_cli.views.listing.lines import Lines
from moonpalace_cli.views.listing.watching import JsonLines, Printed, Rows, watch
from tests.cli.conftest import Store

ROOT = Path(__file__).parents[4]
WIDTH = 42
TABLE = """\
+--------+---------------------+--------------------+
| id     | status              | model              |
+--------+---------------------+--------------------+
| 1      | 200                 | kimi-k3            |
| 3      | 200                 | 月之暗面           |
| 2      | upstream_failed     | kimi-k3            |
+--------+---------------------+--------------------+
"""


def run(store: Store, pauses: Sequence[Callable[[], object]], columns: Sequence[str], *, as_json: bool) -> None:
    """Watch the store; something happens in each pause, and an interrupt after the last."""
    left = iter(pauses)

    def pause() -> None:
        try:
            happen = next(left)
        except StopIteration:
            raise KeyboardInterrupt from None
        happen()

    with Follower(store.engine) as follower:
        first = follower.earlier(10)
        printed: Printed = Lines(store.engine, lambda: WIDTH)
        if columns:
            shown = chosen(columns)
            printed = JsonLines(store.engine, shown) if as_json else Rows(store.engine, shown, first)
        with pytest.raises(KeyboardInterrupt):
            watch(follower, printed, first, pause=pause)


def end(store: Store, row_id: int, state: State) -> None:
    """Let a call end."""
    with writing(store.engine) as connection:
        exchanges.update_exchanges(connection, [{"id": row_id, "state": state.value, "latency": 5 * 10**9}])


def test_table(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The table begins with the newest ended calls, and grows with each that ends; then it is closed."""
    store.add()
    slow = store.add(refused=True, state=State.IN_FLIGHT)
    pauses = [
        lambda: None,
        lambda: store.add(model_answered="月之暗面"),
        lambda: end(store, slow, State.UPSTREAM_FAILED),
    ]
    run(store, pauses, ("id", "status", "model"), as_json=False)
    assert capsys.readouterr().out == TABLE


def test_lines(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Without columns each call is one line, like in the log, of the given width."""
    store.add()
    run(store, [lambda: store.add(finish_reason="length")], (), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2:5] for line in lines] == [["#1", "kimi-k3", "stop"], ["#2", "kimi-k3", "cut"]]
    assert max(map(len, lines)) <= WIDTH


def test_json(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """In JSON each call is a line, printed as soon as it ends."""
    lines: list[int] = []

    def look() -> None:
        lines.extend(json.loads(line)["id"] for line in capsys.readouterr().out.splitlines())

    store.add()
    run(store, [look, store.add, look, lambda: (store.add(), store.add()), look], ("id", "tags"), as_json=True)
    assert lines == [1, 2, 3, 4]


@pytest.mark.parametrize("arguments", [["--json"], ["--columns", "id,model"]], ids=" ".join)
def test_interrupted(store: Store, arguments: list[str]) -> None:
    """A pipe gets each call immediately; Ctrl-C ends with 130 and no traceback."""
    store.add()
    database = str(store.engine.url.database)
    command = [sys.executable, "-m", "moonpalace_cli.main", "list", "--watch", "--database", database]
    process = subprocess.Popen(
        [*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
    )
    assert process.stdout is not None
    heads = 0 if arguments == ["--json"] else 3
    first = [process.stdout.readline() for _ in range(heads + 1)][-1]
    store.add(model_answered="second")
    second = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "1" in first
    assert "second" in second
    assert process.returncode == 130
    assert errors.strip() == ""


def environment() -> dict[str, str]:
    """Return the environment of a separate process."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "addons"), paths])}
