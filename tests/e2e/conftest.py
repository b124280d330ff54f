"""A proxy in front of a mock, and fixtures that start others."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from mitmproxy.certs import CertStore

from moonpalace_cli.mock.scenarios import Times
from tests.e2e.launching import Launcher, Proxy, environment_in, free_port
from tests.scenarios.server import MockServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

QUICK = Times(loop=0, slow=0, headers=0, split=0, reset=0.02)
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first takes half as much CPU as the others, which also run what their windows are made of."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests of features that mitmproxy's own server lacks if it is the one to be tested."""
    if os.environ.get("MOONPALACE_ENGINE") == "mitmproxy":
        left_out = [item for item in items if item.get_closest_marker("engine")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a real browser; the test is skipped where none is installed."""
    from playwright.sync_api import sync_playwright  # nobody else waits for its import

    installed = [path for name in BROWSERS if (path := shutil.which(name))]
    if not installed:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=installed[0], args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def ports() -> Callable[[], int]:
    """Provide free ports, for programs that cannot report a chosen one."""
    return free_port


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Launcher]:
    """Provide a launcher of processes, with an empty store and mitmproxy's certificates created once for all."""
    used = tmp_path_factory.mktemp("used")
    home = environment_in(used, {})["MOONPALACE_HOME"]
    Path(home).mkdir(mode=0o700)
    shutil.copy(empty_store, home)
    CertStore.from_store(f"{home}/mitmproxy", "mitmproxy", 2048)
    launcher = Launcher(tmp_path_factory, used)
    yield launcher
    launcher.close()


@pytest.fixture(scope="module")
def mock() -> Iterator[MockServer]:
    """Provide a mock without pauses, shared by the tests of a module."""
    with MockServer(times=QUICK) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(launch: Launcher, mock: MockServer) -> Iterator[Proxy]:
    """Provide an `mpal start` in front of the mock, shared by the tests of a module."""
    with launch.start(endpoint=mock.url) as running:
        yield running


@pytest.fixture(scope="module")
def client(proxy: Proxy) -> Iterator[httpx.Client]:
    """Provide a client of the shared proxy."""
    with proxy.client() as running:
        yield running


@pytest.fixture
def request_id(request: pytest.FixtureRequest) -> str:
    """Provide an `X-Request-Id` that only this test sends."""
    return f"{request.node.name}-{time.monotonic_ns()}"


@pytest.fixture
def key() -> str:
    """Provide a key that only this test has."""
    return f"sk-e2e-{uuid4().hex}"
