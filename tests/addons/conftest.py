"""Fixtures for tests of addons with sockets."""

import ssl
from collections.abc import Iterator

import pytest

from moonpalace_addons.mitm import flow_control, proxy_server
from moonpalace_cli.mock.certificate import Certificate
from tests.addons.captured import Rig


@pytest.fixture(scope="session")
def tls() -> Iterator[ssl.SSLContext]:
    """Give a server's context."""
    certificate = Certificate()
    yield certificate.context()
    certificate.close()


@pytest.fixture
def rig() -> Rig:
    """Give a capture with the default settings."""
    return Rig()


@pytest.fixture
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the connection of these flows: no part of an answer is collected, and none is sent."""
    monkeypatch.setattr(flow_control, "partial_body", lambda _: b"")
    for module in (flow_control, proxy_server):
        monkeypatch.setattr(module, "connection_of", lambda _: None)
