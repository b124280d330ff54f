"""Tests that run in forked processes: each runs once, wherever others fail or die."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    "test_plain.py": """
        import pytest

        @pytest.mark.parametrize("number", range(20))
        def test_many(number, ran): ran(f"many-{number}")

        @pytest.mark.skip
        def test_skipped(): pass
    """,
    "test_failing.py": """
        def test_before(ran): ran("before")
        def test_failing(ran):
            ran("failing")
            print("said by a test")
            assert 1 + 1 == 3
        def test_after(ran): ran("after")
    """,
    "test_dying.py": """
        import os, signal
        def test_first(ran): ran("first")
        def test_dying(ran):
            ran("dying")
            os.kill(os.getpid(), signal.SIGKILL)
        def test_last(ran): ran("last")
    """,
    "test_shared.py": """
        import pytest

        @pytest.fixture(scope="module")
        def shared(ran):
            ran("made")
            yield
            ran("ended")

        def test_one(shared, tmp_path): pass
        def test_other(shared, tmp_path): pass
    """,
}
CONFTEST = """
import os
import pytest

@pytest.fixture(scope="session")
def ran():
    def write(name):
        file = os.open("ran", os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(file, name.encode() + b"\\n")
        os.close(file)
    return write
"""
NAMES = [*(f"many-{number}" for number in range(20)), "before", "failing", "after", "first", "dying", "last", "made"]

type Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Give a function that runs the tests of a project in processes of their own."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name, text in MODULES.items():
        (tmp_path / name).write_text(re.sub(r"^ {8}", "", text, flags=re.MULTILINE))

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        plugins = [f"-pno:{name}" for name in ("xdist", "pytest_cov", "hypothesispytest", "anyio", "cacheprovider")]
        command = [sys.executable, "-m", "pytest", *plugins, "-ptests.forked_runs", f"--rootdir={tmp_path}", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return start


def test_each_runs_once(run: Run, tmp_path: Path) -> None:
    """A process that dies fails its test alone, and another goes on; what a test printed is shown."""
    done = run("-n", "3")
    assert done.returncode == 1, done.stdout
    assert "2 failed, 26 passed, 1 skipped" in done.stdout
    assert "the process of this test has died" in done.stdout
    assert "said by a test" in done.stdout
    assert sorted((tmp_path / "ran").read_text().split()) == sorted([*NAMES, "ended"])


def test_the_first_failure_ends_the_run(run: Run) -> None:
    """With `-x` nothing runs any more after it."""
    done = run("-n", "2", "-x", "test_failing.py", "test_shared.py")
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert "stopping after 1 failures" in done.stdout


def test_a_worker_that_cannot_begin(run: Run, tmp_path: Path) -> None:
    """Tests that were not run make the run fail."""
    with (tmp_path / "conftest.py").open("a") as file:
        file.write(f"os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), {int(signal.SIGKILL)}))\n")
    done = run("-n", "2")
    assert done.returncode == 1
    assert "29 tests were not run" in done.stdout
