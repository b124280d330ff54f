"""Loopback addresses and Host headers of this machine."""

import socket

import pytest

from moonpalace_addons.engine.own_addresses import is_own_name, is_this_machine, machine_names
from tests.tables import for_each

HOSTS: list[tuple[str, bool]] = [
    # An address cannot be rebound.
    ("127.0.0.1:9988", True),
    ("127.0.0.1", True),
    ("192.168.1.5:9988", True),
    ("0.0.0.0:9988", True),
    ("[::1]:9988", True),
    ("[::1]", True),
    ("[fd00::5]:9988", True),
    ("[0:0:0:0:0:0:0:1]:9988", True),
    # Nor can a name that nobody can register.
    ("localhost", True),
    ("LocalHost:9988", True),
    ("localhost.:9988", True),
    ("localhost:", True),
    (" localhost ", True),
    ("moonpalace.localhost:9988", True),
    ("host.docker.internal:9988", True),
    ("mybox.local", True),
    ("moonpalace:9988", True),
    ("my_box", True),
    # The names that are known to be ours.
    ("Proxy.Example:9988", True),
    ("proxy.example.", True),
    ("evil.example", False),
    ("proxy.example.evil.example", False),
    ("localhost.evil.example", False),
    ("127.0.0.1.evil.example", False),
    ("evil-local", True),
    ("evilinternal.example", False),
    ("[::1].evil.example", False),
    ("localhost:9988.evil.example", False),
    ("localhost:9988, evil.example", False),
    ("evil.example@localhost:80.x", False),
    ("::1", False),
    ("[::1", False),
    ("2130706433", False),
    ("", False),
    (".", False),
]


@for_each(("host", "expected"), HOSTS)
def test_own_name(host: str, expected: bool) -> None:
    """A Host is accepted if no foreign page can own it, or if it is in the known names."""
    assert is_own_name(host, frozenset({"proxy.example"})) is expected


@for_each(
    ("address", "expected"),
    [
        (("127.0.0.1", 1), True),
        (("127.8.8.8", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("192.168.1.5", 1), False),
        (("::ffff:192.168.1.5", 1, 0, 0), False),
        (("fe80::1%eth0", 1, 0, 2), False),
        (("0.0.0.0", 1), False),
        (("::", 1, 0, 0), False),
        (("localhost", 1), False),
        (("", 0), False),
        ((), False),
        ("127.0.0.1", False),
        (None, False),
    ],
)
def test_this_machine(address: object, expected: bool) -> None:
    """Only loopback addresses are this machine's; anything unparsable is not."""
    assert is_this_machine(address) is expected


def test_machine_names_are_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of the machine are compared case-insensitively."""
    monkeypatch.setattr(socket, "gethostname", lambda: "MyBox")
    monkeypatch.setattr(socket, "getfqdn", lambda: "MyBox.LAN")
    assert machine_names() == {"mybox", "mybox.lan"}
