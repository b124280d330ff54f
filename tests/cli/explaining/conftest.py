"""A mock that explains, and `mpal explain` that asks it."""

from collections.abc import Iterator

import pytest

from moonpalace_cli.mock.scenarios import Times
from tests.cli.conftest import Mpal, Outcome, Store
from tests.cli.explaining.recording import call, chat, refusal
from tests.scenarios.server import MockServer

KEY = "sk-test-explaining-0123456789"


@pytest.fixture(scope="session")
def mock() -> Iterator[MockServer]:
    """Give a mock that all tests of this folder share."""
    with MockServer(times=Times(loop=0, slow=0, headers=0, split=0, reset=0.02)) as server:
        yield server


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an English locale without a key and without a proxy."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG", "MOONSHOT_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def failed(store: Store) -> int:
    """Give the id of a call with a wrong parameter."""
    error = refusal("invalid_request_error", "invalid temperature: must be between 0 and 1")
    return call(store.engine, chat(temperature=3), 400, error)


@pytest.fixture
def explain(mpal: Mpal, mock: MockServer) -> Mpal:
    """Give a function that asks a model of the mock, by default one that helps."""

    def run(*arguments: str, model: str = "mock-helper") -> Outcome:
        return mpal("explain", *arguments, "--via", mock.url, "--via-model", model, "--key", KEY)

    return run
