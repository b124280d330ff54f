"""Settings from one source, and the one line of a refusal."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.table import BY_NAME
from moonpalace_addons.settings.values import Settings, _parse
from moonpalace_addons.settings.values import resolve as resolve_settings

SECRET = "sk-Wq7Zx3Rt9"


def parse_option(name: str, text: str) -> object:
    """Parse the text of a setting, as from mitmproxy's `--set`."""
    return _parse(BY_NAME[name], text, f"option {BY_NAME[name].option}")


def resolve(
    folder: Path,
    given: Mapping[str, object | None] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    config: str | None = None,
    names: tuple[str, ...] | None = None,
) -> Settings:
    """Resolve with a temporary home folder and the text of config.yaml."""
    if config is not None:
        (folder / "config.yaml").write_text(config, encoding="utf-8")
    return resolve_settings(given or {}, {"MOONPALACE_HOME": str(folder), **(environ or {})}, names=names)


def refusal(
    folder: Path,
    given: Mapping[str, object | None] | None = None,
    environ: Mapping[str, str] | None = None,
    config: str | None = None,
) -> str:
    """Return the message of the SettingError of resolving, checked to be one line."""
    with pytest.raises(SettingError) as caught:
        resolve(folder, given, environ, config=config)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text
