"""Tests of identifying this machine and its processes."""

import os
import subprocess
import sys

import pytest

from moonpalace_addons.store.write import host


def test_the_name_of_the_host_is_steady() -> None:
    """The name is the same each time, and not empty."""
    assert host.host_name() == host.host_name() != ""


def test_a_child_is_another_process_until_it_ends() -> None:
    """A running child counts as another process, an ended one does not."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert host.is_other_process(child.pid)
    child.communicate(b"\n")
    assert not host.is_other_process(child.pid)


def test_this_process_is_no_other() -> None:
    """The own process id, which a dead proxy in a container may have had too, does not count."""
    assert not host.is_other_process(os.getpid())


def test_a_process_that_may_not_be_asked_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of another user counts as running."""

    def refuse(_: int, signal: int) -> None:
        assert signal == 0
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert host.is_other_process(1)


def test_where_asking_would_kill_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """On systems where signal 0 ends a process, every other process counts as running."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delattr(os, "kill")
    assert host.is_other_process(os.getpid() + 1)
