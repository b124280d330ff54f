"""Tests of `mpal config`, and of settings that are refused at the start."""

import json
import re
from pathlib import Path

import pytest

from moonpalace_addons.settings.table import TABLE
from moonpalace_addons.settings.values import resolve
from tests.cli.conftest import Mpal

KEY = "sk-must-not-be-shown-0123456789"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of config.yaml, in an existing folder."""
    place = tmp_path / "home" / "config.yaml"
    place.parent.mkdir()
    return place


def shown(mpal: Mpal) -> dict[str, tuple[str, str]]:
    """Return the value and the origin of each setting."""
    rows = [json.loads(line) for line in mpal("config", "--json").out.splitlines()]
    return {row["setting"]: (row["value"], row["from"]) for row in rows}


def test_every_setting_and_its_origin(file: Path, mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is shown with its value and its origin, but no secret or password."""
    file.write_text(f"start:\n    port: 8080\n    key: {KEY}\n    detect-repeat: true\n", encoding="utf-8")
    monkeypatch.setenv("MOONPALACE_UPSTREAM_PROXY", "http://me:hidden@proxy:3128")
    result = shown(mpal)
    assert set(result) == {setting.name for setting in TABLE}
    assert result["host"] == ("127.0.0.1", "default")
    assert result["port"][0] == "8080"
    assert "config.yaml" in result["port"][1]
    assert result["detect-repeat"][0] == "on"
    assert result["key"][0] == "***"
    assert result["upstream-proxy"] == ("http://***@proxy:3128", "variable MOONPALACE_UPSTREAM_PROXY")
    everything = mpal("config").out + mpal("config", "-o", "yaml").out
    assert KEY not in everything
    assert "hidden" not in everything


def test_endpoints_and_prices(file: Path, mpal: Mpal) -> None:
    """The endpoints and prices of config.yaml are shown, too, without keys and values of headers."""
    file.write_text(
        "prices: {kimi-*: {input: 2, cached: 0.5, output: 8, currency: CNY, endpoint: kimi}}\n"
        f"endpoints: {{kimi: {{url: https://k.example, key: {KEY}, headers: {{X-Team: {KEY}}}}}, b: 'http://b'}}\n",
        encoding="utf-8",
    )
    result = shown(mpal)
    assert result["endpoint"] == ("https://k.example", "endpoints.kimi")
    assert result["key"] == ("***", "endpoints.kimi")
    assert result["endpoints.kimi"] == ("https://k.example, key ***, header X-Team", str(file))
    assert result["endpoints.b"] == ("http://b", str(file))
    assert result["prices.kimi-*"] == ("input 2, output 8, cached 0.5 CNY at kimi", str(file))
    assert KEY not in mpal("config").out


@pytest.mark.parametrize(
    "place", ["u:hidden@host", "u:hid/hidden@host", "u:x@hidden@host", "host/db?password=hidden&a=b"]
)
def test_passwords_of_databases(mpal: Mpal, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A database's password is not shown, wherever in its URL it is."""
    monkeypatch.setenv("MOONPALACE_DATABASE", f"postgresql://{place}")
    assert "hidden" not in mpal("config").out
    assert "host" in shown(mpal)["database"][0]


def test_a_key_that_others_can_read(file: Path, mpal: Mpal) -> None:
    """A file with a key that other users can read gets a warning with the remedy."""
    file.write_text(f"start:\n    key: {KEY}\n", encoding="utf-8")
    file.chmod(0o644)
    assert f"chmod 600 {file}" in mpal("config").err
    file.chmod(0o600)
    assert mpal("config").err == ""


def test_init(tmp_path: Path, mpal: Mpal) -> None:
    """`config init` writes a private file that changes nothing, and does not replace one unless told to."""
    before = shown(mpal)
    result = mpal("config", "init")
    file = Path(result.out.strip())
    assert (result.code, file) == (0, tmp_path / "home" / "config.yaml")
    assert file.stat().st_mode & 0o777 == 0o600
    assert shown(mpal) == before
    assert mpal("config", "init").code == 1
    assert mpal("config", "init", "--force").code == 0


def test_the_lines_of_the_file_are_valid(tmp_path: Path, mpal: Mpal) -> None:
    """Without the # the lines have the valid names and defaults; all settings are there."""
    mpal("config", "init")
    file = tmp_path / "home" / "config.yaml"
    lines = [line.removeprefix("# ") for line in file.read_text(encoding="utf-8").splitlines()[3:]]
    names = [re.match(r" *([\w-]+):", line) for line in lines]
    assert {found[1] for found in names if found} >= {setting.path[-1] for setting in TABLE}
    paths = {setting.path for setting in TABLE}
    sections = {path[:-1] for path in paths} & paths  # what is a switch, or a section with values
    doubled = tuple(f"    {name}: " for _, name in sections)
    kept = [line for line in lines if not line.endswith(": …") and not line.startswith(doubled)]
    file.write_text("\n".join(kept), encoding="utf-8")
    values, plain = resolve({}, {"MOONPALACE_HOME": str(file.parent)}), resolve({}, {"MOONPALACE_HOME": str(tmp_path)})
    switches = {"otel", *(name.replace("-", "_") for _, name in sections)}
    names_of = [setting.field for setting in TABLE if setting.name != "database" and setting.field not in switches]
    assert [getattr(values, name) for name in names_of] == [getattr(plain, name) for name in names_of]


def test_a_bad_pattern_is_refused_at_the_start(mpal: Mpal) -> None:
    """A mistake in --redact-pattern ends mpal start before it listens, not the first export."""
    result = mpal("start", "--port", "0", "--redact-pattern", "(")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "redact-pattern: '(' is not a valid RE2 regular expression" in result.err
