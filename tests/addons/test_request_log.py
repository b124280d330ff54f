"""The log of calls."""

import logging
from types import SimpleNamespace
from typing import cast

import pytest

from moonpalace_addons import request_log
from moonpalace_addons.log_lines import Line
from moonpalace_addons.store.records.exchanges import Exchange


def test_call_is_one_record(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """All lines of a call are one record, so that those of two calls never mix; each line has its style; % is text."""
    caplog.set_level(logging.INFO, "moonpalace")
    shown = [Line("GET    /v1/models%20%s 200 OK", "good"), Line("  - Response: ")]
    monkeypatch.setattr(request_log, "lines", lambda _: shown)
    request_log.log_call(cast(Exchange, SimpleNamespace()))
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("moonpalace", logging.INFO)
    assert record.getMessage() == "GET    /v1/models%20%s 200 OK\n  - Response: "
    assert record.__dict__["styles"] == ["good", "plain"]
