"""Tests of deferred imports."""

import contextlib
import gc
import subprocess
import sys

import pytest

from moonpalace_cli.deferred_imports import defer, uncollected


def test_what_is_used_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in has the module's attributes, known ones without importing it, and is replaced when it is imported."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    defer("colorsys", {"ONE_THIRD": "known"})
    stand_in = sys.modules["colorsys"]
    assert stand_in.ONE_THIRD == "known"
    assert sys.modules["colorsys"] is stand_in
    assert stand_in.rgb_to_hsv(0, 0, 1)[2] == 1
    assert sys.modules["colorsys"] is not stand_in
    assert stand_in.hsv_to_rgb(0, 0, 1) == (1, 1, 1)
    with pytest.raises(AttributeError, match="nothing"):
        _ = stand_in.nothing


def test_no_garbage_is_looked_for() -> None:
    """No garbage is collected during imports; afterwards the setting is restored, even after a failure."""
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with contextlib.suppress(ImportError), uncollected():
            raise ImportError
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_is_there_stays() -> None:
    """An imported module is not replaced."""
    before = sys.modules["subprocess"]
    defer("subprocess")
    assert sys.modules["subprocess"] is before


def test_submodules_of_what_is_put_off() -> None:
    """SQLAlchemy can be imported without asyncio, and a submodule of asyncio imports all of it afterwards."""
    program = """
import sys
from moonpalace_cli.deferred_imports import ASYNCIO, defer
defer("asyncio", ASYNCIO)
import sqlalchemy.dialects.sqlite
assert "ssl" not in sys.modules
import asyncio.events
assert asyncio.run(asyncio.sleep(0, "done")) == "done"
from sqlalchemy.util.concurrency import is_exit_exception
assert is_exit_exception(asyncio.CancelledError())
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_package_whose_modules_alone_are_wanted() -> None:
    """A proxy is imported without unused addons, and a module that needs all of them gets them afterwards."""
    program = """
import sys
from moonpalace_cli.deferred_imports import defer_package
defer_package("mitmproxy.addons")
from moonpalace_cli.proxy import console_log, serving
import mitmproxy.addons.clientplayback
assert not {"flask", "ldap3", "mitmproxy.addons.script"} & sys.modules.keys()
from mitmproxy import addons
from mitmproxy.tools import dump
from mitmproxy.addons.core import Core
assert addons.core.Core is dump.addons.core.Core is Core is serving.Core
assert len(addons.default_addons()) > 20
"""
    subprocess.run([sys.executable, "-c", program], check=True)
