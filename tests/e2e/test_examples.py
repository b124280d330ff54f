"""Every example runs against the mock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from moonpalace_addons.store.state import State
from tests.e2e.launching import Proxy
from tests.scenarios.server import MockServer
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def environment(proxy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:  # type: ignore[no-untyped-def]
    """Provide the environment for running the examples; `mpal` is on the path."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "mpal"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m moonpalace_cli.main "$@"\n')
    script.chmod(0o755)
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    extra = {"BASE_URL": f"{proxy.url}/v1", "MOONSHOT_API_KEY": "sk-example-0123456789", "MODEL": "mock-echo"}
    return {**proxy.environment, **extra, "PATH": path}


def run(name: str, environment: dict[str, str], *arguments: str) -> str:
    """Run an example; return its output."""
    program = sys.executable if name.endswith(".py") else "/bin/sh"
    done = subprocess.run(
        [program, str(EXAMPLES / name), *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def answered(environment: dict[str, str]) -> str:
    """Make the call of the first example; return its output."""
    return run("openai_plain.py", environment)


def test_the_first_example(answered: str) -> None:
    """It prints the mock's answer."""
    assert answered.startswith("Who lives in the palace on the moon? 谁住在月宫里？\nchatcmpl-")


@pytest.mark.parametrize(
    ("name", "extra", "expected"),
    [
        ("openai_stream.py", {}, "Tell me of the rabbit on the moon.\n"),
        ("openai_tools.py", {"MODEL": "mock-tools", "LAST_MODEL": "mock-echo"}, "tool_calls\nmoon_distance({"),
        ("httpx_stream.py", {}, 'data: {"id":"chatcmpl-'),
        ("curl.sh", {}, 'data: {"id":"chatcmpl-'),
    ],
)
def test_example(name: str, extra: dict[str, str], expected: str, environment: dict[str, str]) -> None:
    """The example prints the mock's answer."""
    assert run(name, environment | extra).startswith(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sql_pandas.py", ["mock-echo", "response  assistant"]),
        ("sql_datasette.py", ["'state': 'completed'}", "mock-echo ", "\nuser Who lives in"]),
    ],
)
@pytest.mark.usefixtures("answered")
def test_the_store_is_read_by_others(name: str, expected: list[str], environment: dict[str, str], proxy: Proxy) -> None:
    """Programs that know nothing of MoonPalace can read the views while the proxy has the store open."""
    until(lambda: any(row.state is State.COMPLETED for row in proxy.rows_so_far()))
    printed = run(name, environment, str(proxy.home / "moonpalace.sqlite"))
    assert [words for words in expected if words not in printed] == []


def test_bad_case(environment: dict[str, str], tmp_path: Path) -> None:
    """The exported report is about the newest chat call, which it calls a bad case."""
    identifier = run("openai_plain.py", environment).splitlines()[1].partition(":")[0]
    run("bad_case.sh", environment, str(tmp_path))
    report = json.loads((tmp_path / f"{identifier}.json").read_text())
    assert (report["category"], report["tags"], report["metadata"]["chatcmpl"]) == ("badcase", ["report"], identifier)


def test_team(environment: dict[str, str], postgres_blank_url: str, mock: MockServer, ports: Callable[[], int]) -> None:
    """Two proxies write to one list, in a database that was blank before."""
    extra = {"MOONPALACE_DATABASE": postgres_blank_url, "MOONPALACE_ENDPOINT": mock.url}
    listed = run("team.sh", environment | extra | {"PORT": str(ports()), "OTHER_PORT": str(ports())})
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in listed.splitlines() if "chatcmpl-" in line]
    assert rows == [["2", "200"], ["1", "200"]]


def test_every_example_is_tested(mock: MockServer) -> None:
    """Every example in the folder has a test here."""
    text = Path(__file__).read_text()
    programs = [path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh")]
    assert programs
    assert all(f'"{name}"' in text for name in programs)
