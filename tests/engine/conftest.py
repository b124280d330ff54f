"""A certificate for tests over TLS."""

from collections.abc import Iterator

import pytest

from moonpalace_cli.mock.certificate import Certificate


@pytest.fixture(scope="session")
def certificate() -> Iterator[Certificate]:
    """Give a certificate."""
    made = Certificate()
    yield made
    made.close()
