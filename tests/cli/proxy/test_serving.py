"""Tests of what `mpal start` does before it serves."""

import os
from pathlib import Path

from moonpalace_addons.settings.values import resolve
from moonpalace_cli.proxy.serving import mitmproxy_settings


def test_the_home_is_private_before_mitmproxy_needs_it(tmp_path: Path) -> None:
    """mitmproxy, which puts its certificates there, would make the folder for everybody to read."""
    home = tmp_path / "home"
    before = os.umask(0)
    try:
        options = mitmproxy_settings(resolve({}, {"MOONPALACE_HOME": str(home)}))
    finally:
        os.umask(before)
    assert options.confdir == str(home / "mitmproxy")
    assert home.stat().st_mode & 0o777 == 0o700
