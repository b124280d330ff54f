"""What tests of addons over sockets share."""

import ssl
from collections.abc import Iterator

import pytest

from moonpalace_cli.mock.certificate import Certificate


@pytest.fixture(scope="session")
def tls() -> Iterator[ssl.SSLContext]:
    """Give a server's context."""
    certificate = Certificate()
    yield certificate.context()
    certificate.close()
