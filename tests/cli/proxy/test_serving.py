"""Tests of the preparations of `mpal start`."""

import asyncio
import contextlib
import logging
import os
from pathlib import Path

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.settings.values import resolve
from moonpalace_cli.proxy.serving import StartupCheck, mitmproxy_settings


def test_the_home_is_private_before_mitmproxy_needs_it(tmp_path: Path) -> None:
    """Otherwise mitmproxy, which stores its certificates there, would create it readable for everybody."""
    home = tmp_path / "home"
    before = os.umask(0)
    try:
        options = mitmproxy_settings(resolve({}, {"MOONPALACE_HOME": str(home)}))
    finally:
        os.umask(before)
    assert options.confdir == str(home / "mitmproxy")
    assert home.stat().st_mode & 0o777 == 0o700


class Console(logging.Handler):
    """A handler that records messages."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note a message."""
        self.said.append(record.getMessage())


@pytest.mark.parametrize(
    ("name", "message", "ends"),
    [
        ("moonpalace_addons.store.journal.overflow", "store: 2 calls stored from …; it is kept as …", False),
        ("moonpalace", "context cache: unavailable, calls continue without it: …", False),
        ("moonpalace_addons.recorder", "Error: cannot open …", True),
        ("mitmproxy.addons.script", "error in script …", True),
    ],
)
def test_which_errors_end_the_start(name: str, message: str, *, ends: bool) -> None:
    """An error that does not concern the start is logged, and the proxy continues; another ends it."""
    console, root = Console(), logging.getLogger()
    root.addHandler(console)
    check = StartupCheck(resolve({}, {"MOONPALACE_HOME": "/nowhere"}), console)
    try:
        logging.getLogger(name).error(message)
        words = message.removeprefix("Error: ")
        with (
            taddons.context(Proxyserver()),
            pytest.raises(MoonPalaceError, match=words) if ends else contextlib.nullcontext(),
        ):
            asyncio.run(check.shutdown_if_errored())
    finally:
        check.finish()
        root.removeHandler(console)
    assert console.said == ([] if ends else [message])
