"""The flags made from the table of settings: help, values, sources and errors."""

from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.table import TABLE
from moonpalace_addons.settings.values import Settings
from moonpalace_cli.flags.setting_flags import setting_flags
from tests.tables import for_each

SECRET = "sk-Wq7Zx3Rt9"


@click.command()
@click.argument("word", default="")
@setting_flags()
def everything(word: str, settings: Settings) -> None:
    """Show all settings."""
    click.echo(f"{word} {settings!r} {settings.key} {settings.database}")


@click.command()
@setting_flags("database", "endpoint")
def query(settings: Settings) -> None:
    """Show the database."""
    click.echo(f"{settings.database} {settings.endpoint}")


@pytest.fixture(autouse=True)
def _empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore the developer's variables and files."""
    for setting in TABLE:
        monkeypatch.delenv(setting.env, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("MOONPALACE_CONFIG", raising=False)
    monkeypatch.setenv("MOONPALACE_HOME", str(tmp_path))


def run(command: click.Command, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run a command with arguments and more variables."""
    return CliRunner().invoke(command, arguments, env=env, terminal_width=200)


def shown(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Return the output of the command with all settings, which must succeed."""
    result = run(everything, *arguments, env=env)
    assert result.exit_code == 0, result.output
    return result.output


@for_each(
    ("arguments", "expected"),
    [
        ([], "port=9988"),
        (["--port", "8080"], "port=8080"),
        (["-p", "0"], "port=0"),
        (["-p8080", "word"], "word Settings(port=8080"),
        (["-k", "sk-1"], " sk-1 "),
        (["--key=sk-1", "--token", "t", "--host", "0.0.0.0"], "host='0.0.0.0'"),
        (["--endpoint", "api.moonshot.ai"], "endpoint='https://api.moonshot.ai'"),
        (["--insecure"], "insecure=True"),
        (["--no-insecure"], "insecure=False"),
        (["--no-force-stream", "--no-detect-repeat", "--no-auto-cache"], "force_stream=False"),
        (["--allow-origins", "http://a,http://b"], "allow_origins=('http://a', 'http://b')"),
        (["--idle-timeout", "5"], "idle_timeout=5.0"),
        (["--database", "/d/calls.sqlite"], "sqlite:////d/calls.sqlite"),
    ],
)
def test_flags(arguments: list[str], expected: str) -> None:
    """Every flag is passed as a parsed setting, in addition to the command's own arguments."""
    assert expected in shown(*arguments)


def test_every_setting_has_a_flag() -> None:
    """A command without named settings has a flag for each, in the order of the table, then --config."""
    flags = [option.opts[-1] for option in everything.params if isinstance(option, click.Option)]
    assert flags == [f"--{setting.name}" for setting in TABLE] + ["--config"]


@pytest.mark.parametrize("setting", TABLE, ids=[setting.name for setting in TABLE])
def test_help(setting: object) -> None:
    """The help has each flag with its variable, its description and its default."""
    row = next(one for one in TABLE if one is setting)
    text = " ".join(run(everything, "--help").output.split())
    flag = f"--{row.name} / --no-{row.name}" if row.kind.form == "switch" else f"--{row.name} {row.kind.metavar}"
    short = f"-{row.short}, " if row.short else ""
    assert f"{short}{flag} {row.help} [env: {row.env}]" in text


def test_help_prints_no_secret(tmp_path: Path) -> None:
    """The help never prints a key, whatever its source."""
    (tmp_path / "config.yaml").write_text(f"start: {{key: {SECRET}, token: {SECRET}}}")
    result = run(everything, "--key", SECRET, "--help", env={"MOONPALACE_KEY": SECRET, "MOONPALACE_TOKEN": SECRET})
    assert result.exit_code == 0
    assert SECRET not in result.output


def test_precedence(tmp_path: Path) -> None:
    """A flag takes precedence over its variable, and that over config.yaml."""
    (tmp_path / "config.yaml").write_text("start: {port: 3, insecure: true}")
    assert "port=3," in shown()
    assert "port=2," in shown(env={"MOONPALACE_PORT": "2"})
    assert "port=1," in shown("--port", "1", env={"MOONPALACE_PORT": "2"})
    assert "insecure=False" in shown("--no-insecure")


def test_config_flag(tmp_path: Path) -> None:
    """--config reads another file and wins over MOONPALACE_CONFIG."""
    (tmp_path / "one.yaml").write_text("start: {port: 1}")
    (tmp_path / "two.yaml").write_text("start: {port: 2}")
    env = {"MOONPALACE_CONFIG": str(tmp_path / "two.yaml")}
    assert "port=2," in shown(env=env)
    assert "port=1," in shown("--config", str(tmp_path / "one.yaml"), env=env)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--port", "x"], SettingError, "flag --port: 'x' must be a whole number from 0 to 65535 (0 = any free port)"),
        (["--key", ""], SettingError, "flag --key: the value must be ASCII characters"),
        (["--upstream-ca", "/nonexistent"], SettingError, "flag --upstream-ca: '/nonexistent' must be a file"),
        (["--config", "/nonexistent"], SettingError, "flag --config: '/nonexistent' does not exist"),
        (["--token", "t"], SettingError, "a token (--token, "),
        (["--key", "k", "--host", "::"], SettingError, "host '::' lets other machines use the key"),
    ],
)
def test_errors(arguments: list[str], error: type[Exception], message: str) -> None:
    """Invalid values are raised as our errors, before the command runs and without click's types."""
    result = run(everything, *arguments)
    assert type(result.exception) is error
    assert str(result.exception).startswith(message)
    assert result.output == ""


def test_query_is_not_stopped_by_other_settings(tmp_path: Path) -> None:
    """A command with two settings works whatever config.yaml and the environment say about others."""
    (tmp_path / "config.yaml").write_text("start: {force-stream: true, port: x, key: k}\ndatabase: calls.sqlite\n")
    result = run(query, "--endpoint", "api.moonshot.ai", env={"MOONPALACE_HOST": "0.0.0.0"})
    assert result.output == f"sqlite:///{tmp_path}/calls.sqlite https://api.moonshot.ai\n"


def test_query_has_its_own_flags_only() -> None:
    """A command only has the flags that it names."""
    assert "No such option" in run(query, "--port", "1").output


def test_query_is_stopped_by_a_broken_file(tmp_path: Path) -> None:
    """A config.yaml that is not YAML is an error for every command."""
    (tmp_path / "config.yaml").write_text("start: [")
    assert "not YAML" in str(run(query).exception)


def test_unknown_name() -> None:
    """A command cannot name an unknown setting."""
    with pytest.raises(KeyError, match="prot"):
        setting_flags("prot")
