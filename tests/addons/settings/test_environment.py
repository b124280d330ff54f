"""The proxy of the environment, and settings that exclude each other."""

import subprocess
import sys
from pathlib import Path

import pytest

from moonpalace_addons.settings.kinds import is_loopback
from moonpalace_addons.settings.values import Settings
from tests.addons.settings.resolved import SECRET, refusal, resolve

# ---- values that exclude each other ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_key_on_loopback(host: str, tmp_path: Path) -> None:
    """A key needs no token on a loopback address."""
    assert resolve(tmp_path, {"host": host, "key": "k"}).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "box", "localhost.example.com", "127.example.com"])
def test_key_beyond_loopback(host: str, tmp_path: Path) -> None:
    """A key on any other host requires a token, and the error does not contain the key."""
    message = refusal(tmp_path, {"host": host, "key": SECRET})
    assert f"host {host!r} lets other machines use the key" in message
    assert "--token" in message
    assert SECRET not in message
    assert resolve(tmp_path, {"host": host, "key": SECRET, "token": "t"}).host == host
    assert resolve(tmp_path, {"host": host}).host == host


def test_token_without_key(tmp_path: Path) -> None:
    """A token without a key is rejected, with the remedy."""
    assert "set the key too" in refusal(tmp_path, {"token": "t"})


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost.", True), ("[::1]", True), ("0.0.0.0", False), ("", False), ("::", False)],
)
def test_is_loopback(host: str, expected: bool) -> None:
    """Loopback addresses are distinguished from all others."""
    assert is_loopback(host) is expected


# ---- the proxy of the environment ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "p:1"}, "http://p:1"),
        ({"https_proxy": "http://lower", "HTTPS_PROXY": "http://upper"}, "http://lower"),
        ({"ALL_PROXY": "http://all", "HTTPS_PROXY": "http://own"}, "http://own"),
        ({"all_proxy": "http://all"}, "http://all"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://p", "MOONPALACE_UPSTREAM_PROXY": "none"}, None),
        ({"HTTPS_PROXY": "http://p", "MOONPALACE_UPSTREAM_PROXY": "http://q"}, "http://q"),
        ({"HTTPS_PROXY": "http://p", "MOONPALACE_ENDPOINT": "http://h"}, None),
        ({"HTTP_PROXY": "http://p", "MOONPALACE_ENDPOINT": "http://h"}, "http://p"),
        ({"HTTPS_PROXY": "http://p", "MOONPALACE_ENDPOINT": "https://127.0.0.1:8443"}, None),
        ({"HTTPS_PROXY": "http://p", "MOONPALACE_ENDPOINT": "https://[::1]:8443"}, None),
        ({"HTTPS_PROXY": "socks5://p", "MOONPALACE_UPSTREAM_PROXY": "none"}, None),
    ],
)
def test_environment_proxy(environ: dict[str, str], proxy: str | None, tmp_path: Path) -> None:
    """The outgoing proxy comes from the standard variables unless ours is set; a loopback endpoint has none."""
    assert resolve(tmp_path, {}, environ).upstream_proxy == proxy


@pytest.mark.parametrize(
    ("endpoint", "no_proxy", "excepted"),
    [
        ("https://api.moonshot.cn", "*", True),
        ("https://api.moonshot.cn", "moonshot.cn", True),
        ("https://api.moonshot.cn", ".moonshot.cn", True),
        ("https://api.moonshot.cn", "*.moonshot.cn", True),
        ("https://api.moonshot.cn", "other, API.moonshot.cn:443", True),
        ("https://api.moonshot.cn", "api.moonshot.cn:8443", False),
        ("https://api.moonshot.cn", "shot.cn", False),
        ("https://api.moonshot.cn", "", False),
        ("https://api.moonshot.cn", ", . ,", False),
        ("https://10.1.2.3:8443", "10.0.0.0/8", True),
        ("https://10.1.2.3:8443", "10.1.2.3:8443", True),
        ("https://10.1.2.3:8443", "11.0.0.0/8", False),
        ("https://[fd00::2]:8443", "fd00::/8", True),
        ("https://[fd00::2]:8443", "[fd00::2]:8443", True),
        ("https://[fd00::2]:8443", "[fd00::2]:1", False),
    ],
)
def test_no_proxy(endpoint: str, no_proxy: str, excepted: bool, tmp_path: Path) -> None:
    """NO_PROXY matches hosts, domains, addresses and networks, with or without a port."""
    settings = resolve(tmp_path, {}, {"HTTPS_PROXY": "http://p", "MOONPALACE_ENDPOINT": endpoint, "NO_PROXY": no_proxy})
    assert (settings.upstream_proxy is None) is excepted


def test_bad_environment_proxy(tmp_path: Path) -> None:
    """An unsupported proxy is an error instead of being ignored, and its password is not shown."""
    message = refusal(tmp_path, {}, {"HTTPS_PROXY": f"socks5://u:{SECRET}@h:1080"})
    assert message.startswith("variable HTTPS_PROXY (--upstream-proxy overrides it): 'socks5://…@h:1080' must be ")


def test_imports_stay_light() -> None:
    """Resolving settings imports neither the proxy, nor the store, nor YAML, nor click."""
    code = (
        "import sys; import moonpalace_addons.settings.config_file;"
        "from moonpalace_addons.settings.values import resolve;"
        "resolve({}, {'MOONPALACE_HOME': '/nonexistent'});"
        "print([name for name in ('mitmproxy', 'sqlalchemy', 'alembic', 'yaml', 'click') if name in sys.modules])"
    )
    source = Path(sys.modules[Settings.__module__].__file__ or "").parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
