"""The log of calls."""

import logging
from pathlib import Path
from typing import Literal, cast

import pytest

from moonpalace_addons.settings.values import Settings
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.writer_process import request_log
from moonpalace_addons.writer_process.log_lines import Line
from moonpalace_addons.writer_process.request_log import CALLS_PER_RECORD, CallLog
from tests.exchanges import an_exchange


@pytest.fixture
def call_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> CallLog:
    """Give a log whose lines are the calls themselves."""
    caplog.set_level(logging.INFO, "moonpalace")
    monkeypatch.setattr(request_log, "call_lines", lambda call, settings, words, width: call)
    return CallLog(Settings(home=Path("/")))


def called(*shown: Line) -> Exchange:
    """Return a call with these lines."""
    return cast(Exchange, list(shown))


def test_calls_are_one_record(caplog: pytest.LogCaptureFixture, call_log: CallLog) -> None:
    """Calls stored together are one record, so that they never mix with others; each line has its style."""
    call_log.add(called(("GET    /v1/models%20%s 200 OK", "good"), ("  - Response: ", "plain")))
    call_log.add(called(("POST   /", "bad")))
    assert not caplog.records
    call_log.flush()
    call_log.flush()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("moonpalace", logging.INFO)
    assert record.getMessage() == "GET    /v1/models%20%s 200 OK\n  - Response: \nPOST   /"
    assert record.__dict__["styles"] == ("good", "plain", "bad")


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (("line", 50), '27:02 #1 kimi-k3 stop 11→7 1ms "why does it…"'),
        (("line", None), '27:02 #1 kimi-k3 stop 11→7 1ms "why does it stop here?"'),
        (
            ("json", None),
            '"model": "kimi-k3", "stream": false, "status": 200, "state": "completed", "outcome": "stop"',
        ),
        (("full", None), "POST   /v1/chat/completions 200 OK 0.00s #1 kimi-k3 stop\n  - Request Headers: "),
    ],
)
def test_forms(caplog: pytest.LogCaptureFixture, form: tuple[str, int | None], expected: str) -> None:
    """A call is a line, a JSON object or the documented block; line and object contain the time."""
    caplog.set_level(logging.INFO, "moonpalace")
    log = CallLog(Settings(log=form[0], home=Path("/")), form[1])
    log.add(an_exchange(), "why does it stop here?")
    log.flush()
    assert log.wants_words == (form[0] == "line")
    (record,) = caplog.records
    assert expected in record.getMessage()
    assert record.__dict__["has_own_times"] is (form[0] != "full")


def test_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """With `quiet` no call is logged."""
    caplog.set_level(logging.INFO, "moonpalace")
    log = CallLog(Settings(quiet=True, home=Path("/")))
    log.add(an_exchange())
    log.flush()
    assert not caplog.records


@pytest.mark.parametrize(
    ("form", "expected"),
    [("line", " #1 @claude kimi-k3 "), ("json", '"endpoint": "claude"'), ("full", " #1 @claude kimi-k3 ")],
)
def test_the_endpoint(caplog: pytest.LogCaptureFixture, form: Literal["line", "json", "full"], expected: str) -> None:
    """Each form has the name of a call's endpoint in config.yaml."""
    caplog.set_level(logging.INFO, "moonpalace")
    log = CallLog(Settings(log=form, home=Path("/")))
    log.add(an_exchange(endpoint_name="claude"))
    log.flush()
    assert expected in caplog.records[0].getMessage()


def test_a_record_is_bounded(caplog: pytest.LogCaptureFixture, call_log: CallLog) -> None:
    """However many calls are stored together, a record contains only some of them."""
    for number in range(2 * CALLS_PER_RECORD + 1):
        call_log.add(called((str(number), "plain")))
    call_log.flush()
    assert [len(record.getMessage().split("\n")) for record in caplog.records] == [
        CALLS_PER_RECORD,
        CALLS_PER_RECORD,
        1,
    ]
