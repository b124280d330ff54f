"""Tests of the rules that report calls automatically."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import event, text

from moonpalace_addons.settings.reports import ReportRule
from moonpalace_addons.settings.values import resolve
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import deliveries
from moonpalace_addons.store.records.deliveries import Delivery, DeliveryState
from moonpalace_cli.reporting import delivering, running
from moonpalace_cli.reporting.running import Reporter
from tests.cli.conftest import Store
from tests.cli.reporting.servers import Reply, Site

DAY_AND_HOUR = 25 * 3600 * 1_000_000
STANDS_FOR = re.compile(r"This report stands for ([0-9,]+) calls of (\w+)")


@dataclass
class Turns:
    """Turns of the rules in config.yaml, with their messages."""

    store: Store
    rule: ReportRule
    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def reporter(self) -> Reporter:
        """Return a reporter, as in another proxy."""
        known = resolve({}, os.environ).reports
        return Reporter(
            self.store.engine, [self.rule], known, os.environ, self.said.append, self.warned.append, since=0
        )

    def take(self) -> None:
        """Take a turn."""
        self.reporter().turn()

    @property
    def all(self) -> list[Delivery]:
        """Return the reports."""
        with self.store.engine.connect() as connection:
            return deliveries.read(connection)

    def later(self, microseconds: int) -> None:
        """Advance the time for reports."""
        with writing(self.store.engine) as connection:
            names = ("due_at", "changed_at", "tried_at", "created_at")
            sets = ", ".join(f"{name} = {name} - {microseconds}" for name in names)
            connection.execute(text(f"UPDATE deliveries SET {sets}"))


@pytest.fixture
def turns(store: Store, config: Path) -> Turns:
    """Return turns of a rule that sends all errors immediately."""
    del config
    return Turns(store, resolve({}, os.environ).rules[0])


def fail(store: Store, count: int, kinds: int = 1) -> None:
    """Store failed calls of this many kinds."""
    first = store.add(status_code=400, request=b'{"messages": [{"role": "user", "content": "x"}]}')
    with writing(store.engine) as connection:
        names = [
            row[1] for row in connection.execute(text("PRAGMA table_info(exchanges)")) if row[1] not in ("id", "uuid")
        ]
        values = [name if name != "status_code" else f"400 + n % {kinds}" for name in names]
        connection.execute(
            text(
                "WITH RECURSIVE numbers(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM numbers WHERE n < :last) "
                f"INSERT INTO exchanges (uuid, {', '.join(names)}) "
                f"SELECT '{first}-' || n, {', '.join(values)} FROM numbers, exchanges "
                "WHERE exchanges.id = :first AND :last > 0"
            ),
            {"last": count - 1, "first": first},
        )


def stood_for(site: Site) -> list[int]:
    """Return how many calls each report that has arrived covers."""
    results = [STANDS_FOR.search(each["body"]) for each in site.arrived]
    return [int(match[1].replace(",", "")) if match else 1 for match in results]


def test_a_thousand_failures(turns: Turns, store: Store, tracker: Site) -> None:
    """With a limit of five a day they give five reports, which say how many calls each covers."""
    fail(store, 1000, kinds=20)
    turns.take()
    turns.take()
    assert stood_for(tracker) == [50, 50, 50, 50, 800]
    assert "of the same kind, from " in tracker.arrived[0]["body"]
    assert "of 16 kinds, from " in tracker.arrived[4]["body"]
    assert [each.state for each in turns.all] == [DeliveryState.SENT] * 5
    assert len(turns.said) == 5
    assert turns.warned == []


def test_the_limit_holds_until_the_next_day(turns: Turns, store: Store, tracker: Site) -> None:
    """Calls after the last report of the day wait, and are in the first of the next."""
    turns.rule = replace(turns.rule, limit=1)
    fail(store, 10)
    turns.take()
    fail(store, 5)
    turns.take()
    fail(store, 6)
    turns.take()
    assert stood_for(tracker) == [10]
    assert [(each.state, each.calls) for each in turns.all] == [(DeliveryState.SENT, 10), (DeliveryState.PENDING, 11)]
    turns.later(DAY_AND_HOUR)
    turns.take()
    assert stood_for(tracker) == [10, 11]


def test_kinds_are_bounded(turns: Turns, store: Store, tracker: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a limit holds reports back, the number of waiting ones does not grow with the kinds of calls."""
    monkeypatch.setattr(running, "MAX_KINDS", 3)
    turns.rule = replace(turns.rule, delay=600)
    for _ in range(3):
        fail(store, 100, kinds=10)
        turns.take()
    assert [each.calls for each in turns.all] == [30, 30, 30, 210]
    turns.later(DAY_AND_HOUR)
    turns.take()
    assert sorted(stood_for(tracker)) == [30, 30, 30, 210]
    assert "210 calls of 7 or more kinds" in tracker.arrived[0]["body"]


def test_similar_calls_are_gathered(turns: Turns, store: Store, tracker: Site) -> None:
    """Nothing is sent before the delay has passed; then one report covers all calls of a kind."""
    turns.rule = replace(turns.rule, delay=600)
    fail(store, 3)
    turns.take()
    fail(store, 4)
    turns.take()
    assert tracker.posts == []
    turns.later(601_000_000)
    turns.take()
    assert stood_for(tracker) == [7]


def test_several_proxies(turns: Turns, store: Store, tracker: Site) -> None:
    """Several on one store send each report once, whichever is first."""
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            fail(store, 20, kinds=2)
            list(pool.map(lambda _: turns.take(), range(4)))
    turns.take()
    turns.rule = replace(turns.rule, limit=100)
    turns.take()
    assert sum(stood_for(tracker)) == 60
    assert {each.state for each in turns.all} == {DeliveryState.SENT}
    markers = [re.findall("moonpalace-report: (.*) -->", each["body"])[0] for each in tracker.arrived]
    assert len(set(markers)) == len(markers) == len(turns.all)


REFUSALS = [
    (Reply(401, {"message": "Bad credentials"}), DeliveryState.REFUSED, "is refused: 127.0.0.1 answers 401: Bad"),
    (Reply(422, {"message": "Validation Failed"}), DeliveryState.REFUSED, "is refused: 127.0.0.1 answers 422"),
    (Reply(429, {}, {"Retry-After": "7"}), DeliveryState.PENDING, "waits: 127.0.0.1 answers 429"),
    (
        Reply(broken=True),
        DeliveryState.IN_DOUBT,
        "may have arrived, or not: 127.0.0.1 was sent the request, but the connect",
    ),
]


@pytest.mark.parametrize(("reply", "state", "said"), REFUSALS, ids=lambda value: getattr(value, "status", ""))
def test_what_goes_wrong(
    turns: Turns, store: Store, tracker: Site, reply: Reply, state: DeliveryState, said: str
) -> None:
    """A refused report stays refused, a limited one waits as long as the receiver asks, another is in doubt."""
    tracker.replies.append(reply)
    fail(store, 1)
    turns.take()
    (one,) = turns.all
    assert one.state is state
    assert said in turns.warned[0]
    turns.later(6_500_000)
    turns.take()
    assert len(tracker.posts) == 1
    if state is DeliveryState.PENDING:
        turns.later(1_000_000)
        turns.take()
        assert len(tracker.arrived) == 1
        assert turns.all[0].state is DeliveryState.SENT


@pytest.mark.parametrize("kept", [False, True])
def test_doubts_are_cleared(turns: Turns, store: Store, tracker: Site, kept: bool) -> None:
    """A site that can be asked is asked, after the time it may take; then there is one report."""
    tracker.replies.append(Reply(broken=True, kept=kept))
    fail(store, 1)
    turns.take()
    turns.later(int(delivering.SETTLING_TIME) * 1_000_000)
    turns.take()
    assert turns.all[0].state is DeliveryState.SENT
    assert (len(tracker.arrived), len(tracker.posts)) == (1, 1 if kept else 2)


def test_a_doubt_that_stays(turns: Turns, store: Store, hook: Site) -> None:
    """A webhook cannot be asked: the report stays in doubt, is not sent again, and the others continue."""
    turns.rule = replace(turns.rule, to="hook")
    hook.replies.append(Reply(broken=True))
    fail(store, 1)
    turns.take()
    turns.later(DAY_AND_HOUR)
    fail(store, 1)
    turns.take()
    assert [each.state for each in turns.all] == [DeliveryState.IN_DOUBT, DeliveryState.SENT]
    assert (len(hook.posts), len(turns.warned)) == (2, 1)


def test_back_off(turns: Turns, store: Store, tracker: Site) -> None:
    """Each pause is twice as long as the previous one; after a day of attempts the report is given up."""
    tracker.replies += [Reply(503)] * 20
    fail(store, 1)
    pauses = []
    for _ in range(delivering.MAX_ATTEMPTS):
        turns.take()
        (one,) = turns.all
        pauses.append(round((one.due_at - one.changed_at) / 1e6))
        turns.later(int(delivering.MAX_PAUSE) * 1_000_000)
    assert pauses[:4] == [60, 120, 240, 480]
    assert max(pauses) == delivering.MAX_PAUSE
    assert one.state is DeliveryState.REFUSED
    assert one.reason is not None
    assert one.reason.startswith("given up after 12 attempts: 127.0.0.1 answers 503")


def test_a_process_that_died(turns: Turns, store: Store, tracker: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its report is looked for, and sent if it is not there."""
    fail(store, 1)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(delivering, "record", die)
        with pytest.raises(SystemExit):
            turns.take()
    assert (turns.all[0].state, len(tracker.arrived)) == (DeliveryState.SENDING, 1)
    turns.take()
    turns.later(DAY_AND_HOUR)
    turns.take()
    assert (turns.all[0].state, len(tracker.posts)) == (DeliveryState.SENT, 1)
    assert turns.all[0].address == f"{tracker.url}/found/1"


def test_reports_are_redacted(turns: Turns, call: int, tracker: Site, hook: Site) -> None:
    """No key or address is sent, in text or JSON."""
    del call
    turns.take()
    turns.rule = replace(turns.rule, name="other", to="hook")
    turns.take()
    sent = f"{tracker.arrived}{hook.arrived}"
    assert "email-" in sent
    assert "me@example.com" not in sent
    assert "sk-9fR2kLmQ8vXc0TzB4nYd" not in sent


def test_a_mistake_in_a_predicate(turns: Turns, store: Store) -> None:
    """It is reported once, and the other rules continue."""
    reporter = turns.reporter()
    fail(store, 1)
    reporter.rules = [replace(turns.rule, name="bad", when="status_code >"), turns.rule]
    reporter.turn()
    reporter.turn()
    (warning,) = turns.warned
    assert warning.startswith("rule bad: ")
    assert len(turns.said) == 1


def test_a_secret_that_is_not_there(turns: Turns, store: Store, hook: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report waits, with the reason; it is sent once the variable is set."""
    turns.rule = replace(turns.rule, to="hook")
    url = os.environ["HOOK"]
    monkeypatch.delenv("HOOK")
    fail(store, 1)
    turns.take()
    (one,) = turns.all
    assert one.state is DeliveryState.PENDING
    assert one.reason == "reports.hook.webhook needs the variable HOOK, which is not set"
    monkeypatch.setenv("HOOK", url)
    turns.later(int(delivering.ASK_AGAIN) * 1_000_000)
    turns.take()
    assert len(hook.arrived) == 1


def test_a_deleted_call(turns: Turns, store: Store, tracker: Site) -> None:
    """A report whose call was deleted is refused, with the reason."""
    turns.rule = replace(turns.rule, delay=600)
    fail(store, 1)
    turns.take()
    with writing(store.engine) as connection:
        connection.execute(text("DELETE FROM exchanges"))
    turns.later(601_000_000)
    turns.take()
    assert (turns.all[0].state, turns.all[0].reason) == (DeliveryState.REFUSED, "its call is not stored any more")
    assert tracker.posts == []


def test_a_rule_that_goes_elsewhere_now(turns: Turns, store: Store, tracker: Site, hook: Site) -> None:
    """A waiting report goes to the rule's current destination."""
    turns.rule = replace(turns.rule, delay=600)
    fail(store, 1)
    turns.take()
    turns.rule = replace(turns.rule, to="hook")
    turns.later(601_000_000)
    turns.take()
    assert (len(tracker.posts), len(hook.arrived)) == (0, 1)


def test_stopping(turns: Turns, store: Store, tracker: Site) -> None:
    """When stopped, it starts nothing more."""
    fail(store, 30, kinds=3)
    reporter = turns.reporter()
    answers: Callable[[], bool] = lambda: len(tracker.posts) >= 1  # noqa: E731
    reporter.is_stopped = answers
    reporter.turn()
    assert len(tracker.posts) == 1


def test_another_store_with_other_engine(turns: Turns, store: Store, tracker: Site) -> None:
    """A new process continues where the last one stopped."""
    fail(store, 2)
    turns.take()
    engine = open_store(str(store.engine.url))
    reporter = replace(turns.reporter(), engine=engine)
    fail(store, 3)
    reporter.turn()
    engine.dispose()
    assert stood_for(tracker) == [2, 3]


def test_a_damaged_call(turns: Turns, store: Store, tracker: Site) -> None:
    """A call with an unreadable request is counted like the others, and the rule continues."""
    fail(store, 2, kinds=2)
    with writing(store.engine) as connection:
        connection.execute(text("DELETE FROM parts"))
    turns.take()
    assert turns.warned != []  # the report shows it, and cannot be made
    fail(store, 1)
    turns.take()
    assert len(tracker.arrived) == 1


def test_an_idle_rule_asks_little(turns: Turns, store: Store, tracker: Site) -> None:
    """A turn without new calls only checks for new calls, and for due reports."""
    reporter = turns.reporter()
    fail(store, 1)
    reporter.turn()
    asked: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *given: asked.append(given[2].split()[0]))
    reporter.turn()
    assert [word for word in asked if word != "BEGIN"] == ["SELECT", "SELECT"]
    assert len(tracker.arrived) == 1


def test_another_process_was_first(turns: Turns, store: Store, tracker: Site) -> None:
    """The cached progress is read again if another process has changed it."""
    first, second = turns.reporter(), turns.reporter()
    for reporter in (first, second, first, first):
        fail(store, 1)
        reporter.turn()
    first.turn()
    assert sum(stood_for(tracker)) == 4
