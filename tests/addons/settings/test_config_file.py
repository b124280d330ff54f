"""Parsing of config.yaml, and the locations in its errors."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.config_file import MAX_FILE_SIZE, display_path, exposed_secrets, read
from tests.addons.settings.documented import DOCUMENTED


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a config.yaml in a temporary folder."""
    return tmp_path / "config.yaml"


def refusal(file: Path) -> str:
    """Return the one-line error of reading the file, without the folder's path."""
    with pytest.raises(SettingError) as caught:
        read(file)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(file) in message
    return message.replace(str(file), "FILE")


def test_documented_file(file: Path) -> None:
    """The documented file gives every setting with its line; a mapping turns its feature on."""
    file.write_text(DOCUMENTED, encoding="utf-8")
    assert read(file).settings == {
        "port": ("8080", 2),
        "key": ("sk-" + "x" * 30, 3),
        "detect-repeat": (True, 4),
        "repeat-threshold": ("0.5", 5),
        "repeat-min-length": ("100", 6),
        "force-stream": ("true", 7),
        "auto-cache": (True, 8),
        "cache-min-bytes": ("4096", 9),
        "cache-ttl": ("90", 10),
        "cache-cleanup": ("86400", 11),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("---\n...\n", {}),
        ("null", {}),
        ("{}", {}),
        ("start:\n", {}),
        ("start: {}\nendpoint: api.moonshot.ai", {"endpoint": ("api.moonshot.ai", 2)}),
        ("\ufeffstart: {port: 1}", {"port": ("1", 1)}),
        ("start:\r\n  port: 1\r\n  host: ::1\r\n", {"port": ("1", 2), "host": ("::1", 3)}),
        ("start: {key: 0012}", {"key": ("0012", 1)}),
        ("start: {key: '12'}", {"key": ("12", 1)}),
        ("start: {token: 12:30:45}", {"token": ("12:30:45", 1)}),
        ("start: {token: 2024-01-01}", {"token": ("2024-01-01", 1)}),
        ("start: {token: 'true'}", {"token": ("true", 1)}),
        ("start: {upstream-proxy: none}", {"upstream-proxy": ("none", 1)}),
        ("start: {insecure: off}", {"insecure": ("off", 1)}),
        ("start: {insecure: 1}", {"insecure": ("1", 1)}),
        ("start: {auto-cache: {}}", {"auto-cache": (True, 1)}),
        ("start: {auto-cache: no}", {"auto-cache": ("no", 1)}),
        ("start: {allow-origins: 'http://a, http://b'}", {"allow-origins": ("http://a, http://b", 1)}),
        (
            "start:\n  allow-origins:\n    - http://a\n    - http://b\n",
            {"allow-origins": (("http://a", "http://b"), 2)},
        ),
        ("start: {allow-origins: []}", {"allow-origins": ((), 1)}),
        ("x: &port 8\n".replace("x", "endpoint") + "start: {port: *port}", {"endpoint": ("8", 1), "port": ("8", 2)}),
        ("database: postgresql://u@h/d", {"database": ("postgresql://u@h/d", 1)}),
        ("database: ~/calls.sqlite", {"database": ("~/calls.sqlite", 1)}),
        ("database: /calls.sqlite", {"database": ("/calls.sqlite", 1)}),
    ],
)
def test_accepted(text: str, expected: dict[str, tuple[object, int]], file: Path) -> None:
    """Scalars are kept as written, lists become tuples, each with the line of its key."""
    file.write_text(text, encoding="utf-8", newline="")
    assert read(file).settings == expected


def test_relative_paths(file: Path) -> None:
    """Relative paths are resolved against the file's folder, not the working directory."""
    file.write_text("database: calls.sqlite\nstart: {upstream-ca: ca/root.pem}")
    found = read(file).settings
    assert found["database"] == (str(file.parent / "calls.sqlite"), 1)
    assert found["upstream-ca"] == (str(file.parent / "ca/root.pem"), 2)


REFUSED = [
    # not YAML
    ("start: [", "FILE, line 1, column 9: not YAML: "),
    ("start:\n\tport: 1", "FILE, line 2, column 1: not YAML: found character '\\t' that cannot start any token"),
    ("start:\n  port: 1\n key: x", "FILE, line 3, column 2: not YAML: "),
    ("start: {}\n---\nstart: {}", "FILE, line 2, column 1: not YAML: but found another document"),
    ("start:\n  key: *sk-secret", "FILE, line 2, column 8: not YAML: found undefined alias '…'"),
    ("start:\n  key: a\0b", "FILE, line 2: not YAML: it contains a control character"),
    ('start: {key: "\\UFFFFFFFF"}', "FILE: not YAML: an escape sequence is not a valid character"),
    ("[" * 30_000, "FILE: nested too deeply"),
    ("endpoints: &a {a: *a}", "FILE: nested too deeply"),
    ("start: &a {auto-cache: *a}", "FILE, line 1: start.auto-cache.auto-cache is unknown"),
    # not the structure
    ("port", "FILE, line 1: the file must hold `start:` with settings indented under it"),
    ("\n- start", "FILE, line 2: the file must hold `start:` with settings indented under it"),
    ("start: 8080", "FILE, line 1: start must be a mapping: settings indented under it, one per line"),
    ("start: [port]", "FILE, line 1: start must be a mapping: settings indented under it, one per line"),
    ("start: {? [a] : 1}", "FILE, line 1: start.? is not a valid key: a key is one word followed by `: `"),
    # keys
    ("start: {port: 1,\n  port: 2}", "FILE, line 2: start.port is a duplicate of line 1: remove one of them"),
    ("start: {}\nstart: {}", "FILE, line 2: start is a duplicate of line 1: remove one of them"),
    ("start: {prot: 1}", "FILE, line 1: start.prot is unknown; the closest is port, of allow-origins, auto-cache, "),
    ("strat: {port: 1}", "FILE, line 1: strat is unknown; the closest is start, of database, endpoint, "),
    ("start: {force_stream: 1}", "FILE, line 1: start.force_stream is unknown; the closest is force-stream, of "),
    (
        "start:\n  auto-cache:\n    tll: 9",
        "FILE, line 3: start.auto-cache.tll is unknown; the closest is ttl, of cleanup, min-bytes, ttl, wait",
    ),
    ("? " + "k" * 99 + "\n: 1", f"FILE, line 1: {'k' * 40!r} is unknown; "),
    # keys at the wrong level
    (
        "start:\n  endpoint: x",
        "FILE, line 2: start.endpoint is unknown here: endpoint belongs at the top of the file, not under start",
    ),
    ("port: 1", "FILE, line 1: port is unknown here: write it under start, as port"),
    ("start: {ttl: 9}", "FILE, line 1: start.ttl is unknown here: write it under start.auto-cache, as ttl"),
    (
        "start: {repeat-threshold: 0.3}",
        "FILE, line 1: start.repeat-threshold is unknown here: write it under start.detect-repeat, as threshold",
    ),
    # values
    ("start: {port: }", "FILE, line 1: start.port has no value: it must be a whole number from 0 to 65535"),
    ("start: {insecure: ''}", "FILE, line 1: start.insecure has no value: it must be true or false"),
    ("start: {auto-cache: }", "FILE, line 1: start.auto-cache has no value: it must be true or false"),
    (
        "start: {port: [1]}",
        "FILE, line 1: start.port must be a whole number from 0 to 65535 (0 = any free port), not a list",
    ),
    ("endpoint: {a: b}", "FILE, line 1: endpoint must be an http:// or https:// URL"),
    (
        "start: {detect-repeat: [0.5]}",
        "FILE, line 1: start.detect-repeat must be true or false (also 1, 0, yes, no, on, off), "
        "or a mapping with threshold, min-length, not a list",
    ),
    ("start: {allow-origins: [[a]]}", "FILE, line 1: start.allow-origins must be web origins"),
    ("start: {allow-origins: {a: b}}", "FILE, line 1: start.allow-origins must be web origins"),
    (
        "start: {token: yes}",
        "FILE, line 1: start.token must be ASCII characters without spaces (and without the word Bearer); "
        "YAML reads this word as true or false: quote it to use it as text",
    ),
    ("start: {key: !!binary c2s=}", "FILE, line 1: start.key must be ASCII characters"),
    ("start: {key: !secret x}", "FILE, line 1: start.key must be ASCII characters"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=range(len(REFUSED)))
def test_refused(text: str, message: str, file: Path) -> None:
    """An error is one line with the file, the line, the key and what is allowed."""
    file.write_text(text, encoding="utf-8")
    assert refusal(file).startswith(message)


def test_not_utf8(file: Path) -> None:
    """A file in another encoding is rejected with the line of the first invalid byte."""
    file.write_bytes("start:\n  port: 1 # 端口\n".encode("gbk"))
    assert refusal(file) == "FILE, line 2: not UTF-8 text"


def test_folder(file: Path) -> None:
    """A folder instead of a file gives a one-line error."""
    file.mkdir()
    assert refusal(file) == "cannot read FILE: Is a directory"


def test_missing_and_too_large(file: Path) -> None:
    """A missing or far too large file gives a one-line error."""
    assert refusal(file) == "cannot read FILE: No such file or directory"
    file.write_text("#" * (MAX_FILE_SIZE + 1))
    assert refusal(file) == f"cannot read FILE: it is larger than {MAX_FILE_SIZE} bytes"


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_unreadable(file: Path) -> None:
    """An unreadable file gives a one-line error."""
    file.touch(mode=0)
    assert refusal(file) == "cannot read FILE: Permission denied"


def test_shown_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths below the user's home folder are shown with `~`."""
    monkeypatch.setenv("HOME", "/home/luna")
    paths = ["/home/luna/.moonpalace/config.yaml", "/home/lunatic/x", "relative"]
    assert [display_path(Path(path)) for path in paths] == ["~/.moonpalace/config.yaml", "/home/lunatic/x", "relative"]


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("start: {key: sk-1}", 0o644, "holds a key that"),
        ("start: {key: sk-1, token: t}", 0o640, "holds a key and a token that"),
        ("start: {key: sk-1}", 0o600, None),
        ("start: {port: 1}", 0o644, None),
    ],
)
def test_exposed_secrets(text: str, mode: int, expected: str | None, file: Path) -> None:
    """Secrets in a file that others can read give a warning with the command that fixes it, without the secret."""
    file.write_text(text)
    file.chmod(mode)
    warning = exposed_secrets(file)
    if expected is None:
        assert warning is None
    else:
        assert warning == (f"{file} {expected} other users can read", f"chmod 600 {file}")


def test_exposed_secrets_command_works(tmp_path: Path) -> None:
    """The warning's command works, whatever the file's name."""
    file = tmp_path / "it's mine; ok.yaml"
    file.write_text("start: {key: sk-1}")
    file.chmod(0o644)
    found = exposed_secrets(file)
    assert found is not None
    _, command = found
    subprocess.run(command, shell=True, check=True)
    assert exposed_secrets(file) is None


def test_exposed_secrets_without_file(file: Path) -> None:
    """A missing file gives no warning."""
    assert exposed_secrets(file) is None


WORDS = st.sampled_from(
    ["start", "port", "key", "endpoint", "auto-cache", "ttl", "allow-origins", "x", "true", "~", "8", '"a"', "&a", "*a"]
)
SIGNS = st.sampled_from(
    [":", ": ", "\n", "\n  ", "\n    ", "- ", "{", "}", "[", "]", ",", "? ", "!!int ", "|", "\t", "<<"]
)


@given(text=st.one_of(st.text(), st.lists(st.one_of(WORDS, SIGNS), max_size=30).map("".join)))
@example(text="start: &a {port: *a}")
@example(text="start: &a\n  auto-cache: *a")
@example(text="%YAML 1.1111\n---\nstart: {}")
@example(text='"\\uD800": 1')
@example(text="start: {'a\n\n  b': 1}")
def test_any_text(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any text gives settings or a one-line SettingError."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    check(file)


@given(data=st.binary())
def test_any_bytes(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any bytes give settings or a one-line SettingError."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(data)
    check(file)


def check(file: Path) -> None:
    """Read the file, and check the types of the values, or the message."""
    try:
        found = read(file).settings
    except SettingError as error:
        message = str(error)
    else:
        message = "read"
        assert all(isinstance(value, str | bool | tuple) and line >= 1 for value, line in found.values())
    assert re.fullmatch(r"[^\r\n]+", message)
    assert len(message.splitlines()) == 1


def test_yaml_is_imported_only_for_a_file(file: Path) -> None:
    """An unreadable file does not import the YAML parser."""
    code = (
        "import sys; from pathlib import Path; from moonpalace_addons.settings.config_file import read\n"
        f"try: read(Path({str(file)!r}))\nexcept Exception as error: print(type(error).__name__, 'yaml' in sys.modules)"
    )
    source = Path(sys.modules[SettingError.__module__].__file__ or "").parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True)
    assert run.stdout == "SettingError False\n"
