"""A mock without pauses, and clients that talk to it."""

from collections.abc import Iterator

import httpx
import pytest

from moonpalace_cli.mock.scenarios import Times
from tests.authorities import NO_AUTHORITIES
from tests.scenarios.server import MockServer

QUICK = Times(loop=0, slow=0, headers=0, split=0, reset=0.02)
KEY = {"Authorization": "Bearer sk-test"}


@pytest.fixture(scope="session")
def shared_mock() -> Iterator[MockServer]:
    """Provide a mock that all tests of a worker share."""
    with MockServer(times=QUICK) as server:
        yield server


@pytest.fixture(scope="session")
def client(shared_mock: MockServer) -> Iterator[httpx.Client]:
    """Provide a client of the shared mock with a key."""
    with httpx.Client(base_url=shared_mock.url, headers=KEY, verify=NO_AUTHORITIES, trust_env=False) as client:
        yield client


@pytest.fixture
def own_mock() -> Iterator[MockServer]:
    """Provide a mock whose log only this test fills."""
    with MockServer(times=QUICK) as server:
        yield server


@pytest.fixture
def own_client(own_mock: MockServer) -> Iterator[httpx.Client]:
    """Provide a client of the test's own mock with a key."""
    with httpx.Client(base_url=own_mock.url, headers=KEY, verify=NO_AUTHORITIES, trust_env=False) as client:
        yield client
