"""Tests of a process killed while sending: exactly one report arrives, or one is reported as in doubt."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from moonpalace_addons.store.records import deliveries
from moonpalace_addons.store.records.deliveries import DeliveryState
from moonpalace_cli.main import main
from moonpalace_cli.reporting import by_hand, delivering
from moonpalace_cli.reporting.receivers import issues, webhooks
from tests.cli.conftest import Mpal, Store
from tests.cli.reporting.servers import Reply, Site
from tests.waiting import until


def kill_before(owner: Any, name: str) -> None:
    """Kill this process when it enters a function."""

    def killed(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, killed)


def kill_after(owner: Any, name: str) -> None:
    """Kill this process when it leaves a function."""
    original = getattr(owner, name)

    def killed(*arguments: object, **named: object) -> None:
        original(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, killed)


def kill_before_sending() -> None:
    """Kill this process when it is about to send."""
    for each in (issues.Issues, webhooks.Webhook):
        kill_before(each, "send")


MOMENTS: dict[str, Callable[[], None]] = {
    "before it is recorded": lambda: kill_before(deliveries, "wanted"),
    "before it is claimed": lambda: kill_before(deliveries, "claim"),
    "after it is claimed": lambda: kill_after(deliveries, "claim"),
    "before it is sent": kill_before_sending,
    "after it was sent": lambda: kill_before(delivering, "record"),
    "after it is recorded": lambda: kill_after(delivering, "record"),
}


def start(moment: Callable[[], None] | None, *arguments: str) -> int:
    """Start a command in a process that is killed at a given moment; return its pid."""
    if pid := os.fork():
        return pid
    try:
        if moment is not None:
            moment()
        os._exit(main(arguments))
    finally:
        os._exit(99)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", ["tracker", "hook"])
def test_a_command_is_killed(
    store: Store,
    mpal: Mpal,
    call: int,
    tracker: Site,
    hook: Site,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    moment: str,
) -> None:
    """Repeated, it finds out whether the report arrived, or says that this is unknown; it never sends it twice."""
    store.engine.dispose()
    arguments = ("report", str(call), "--to", name, "--yes")
    _, status = os.waitpid(start(MOMENTS[moment], *arguments), 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    monkeypatch.setattr(deliveries, "CLAIM_TIMEOUT", -1)
    monkeypatch.setattr(by_hand, "SETTLING_TIME", 0)
    again = mpal(*arguments)
    site = tracker if name == "tracker" else hook
    if again.code == 0:
        assert len(site.arrived) == 1
        assert f"call {call} was sent to {name}" in again.out
    else:
        assert name == "hook"
        assert moment not in ("before it is recorded", "before it is claimed", "after it is recorded")
        assert len(site.arrived) == (moment == "after it was sent")
        assert f"whether hook has the report is in doubt ({delivering.ABANDONED})" in again.err
        assert f"mpal report {call} --to hook --again" in again.err
    arrived = len(site.arrived)
    third = mpal(*arguments)
    assert (third.code, len(site.arrived)) == (again.code, arrived)


@pytest.mark.parametrize("kept", [False, True])
def test_killed_while_the_answer_is_waited_for(
    store: Store, mpal: Mpal, call: int, tracker: Site, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """A request that was read may have been processed or not: the site knows."""
    store.engine.dispose()
    held = threading.Event()
    tracker.replies.append(Reply(201, {"html_url": "x"}, kept=kept, held=held))
    arguments = ("report", str(call), "--to", "tracker", "--yes")
    pid = start(None, *arguments)
    until(lambda: tracker.posts)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    held.set()
    asked = mpal(*arguments)
    assert (asked.code, len(tracker.posts)) == (1, 1)
    assert "is being sent by another process" in asked.err
    monkeypatch.setattr(deliveries, "CLAIM_TIMEOUT", -1)
    assert mpal(*arguments).code == 0
    assert len(tracker.arrived) == 1
    assert len(tracker.posts) == (1 if kept else 2)


def test_interrupted(store: Store, call: int, tracker: Site, mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while waiting for the answer leaves the report in doubt, until the site is asked."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(issues.Issues, "send", interrupt)
        assert mpal("report", str(call), "--to", "tracker", "--yes").code == 130
    with store.engine.connect() as connection:
        (left,) = deliveries.read(connection)
    assert (left.state, left.reason) == (DeliveryState.IN_DOUBT, delivering.INTERRUPTED)
    assert mpal("report", str(call), "--to", "tracker", "--yes").code == 1
    assert tracker.posts == []
    monkeypatch.setattr(by_hand, "SETTLING_TIME", 0)
    assert mpal("report", str(call), "--to", "tracker", "--yes").code == 0
    assert len(tracker.arrived) == 1
