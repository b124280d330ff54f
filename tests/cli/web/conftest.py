"""A console on the store of the test, and a client that has its token."""

from collections.abc import Iterator

import httpx
import pytest

from moonpalace_cli.web.server import Served
from tests.authorities import NO_AUTHORITIES
from tests.cli.conftest import Store
from tests.cli.web.serving import TOKEN, serving


@pytest.fixture
def served(store: Store) -> Iterator[Served]:
    """Serve the store of the test."""
    with serving(store.engine) as found:
        yield found


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    """Give a program that has the token."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/html"}
    with httpx.Client(base_url=served.address, headers=headers, trust_env=False, verify=NO_AUTHORITIES) as found:
        yield found
