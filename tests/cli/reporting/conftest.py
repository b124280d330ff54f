"""A store with a call, a config.yaml with local destinations, and a waiting report."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Store
from tests.cli.reporting.servers import TOKEN, Site, github, serving, webhook

REQUEST = (
    b'{"model": "kimi-k3", "messages": [{"role": "user", "content": "me@example.com says sk-9fR2kLmQ8vXc0TzB4nYd"}]}'
)


@pytest.fixture
def tracker() -> Iterator[Site]:
    """Give a site with issues, which can be asked."""
    with serving(github) as site:
        yield site


@pytest.fixture
def hook() -> Iterator[Site]:
    """Give a webhook, which cannot be asked."""
    with serving(webhook) as site:
        yield site


@pytest.fixture
def config(store: Store, tmp_path: Path, tracker: Site, hook: Site, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file that names both, next to a store."""
    del store
    monkeypatch.setenv("HOOK", f"{hook.url}/{TOKEN}")
    file = tmp_path / "home" / "config.yaml"
    file.write_text(
        f"""
reports:
    tracker: {{github: o/r, url: "{tracker.url}", token: {TOKEN}}}
    hook: {{webhook: env:HOOK}}
    disk: {{folder: "{tmp_path}/reports"}}
rules:
    errors: {{when: status_code >= 400, to: tracker, limit: 5, delay: 0s}}
""",
        encoding="utf-8",
    )
    file.chmod(0o600)
    return file


@pytest.fixture
def call(store: Store, config: Path) -> int:
    """Give a call with an e-mail address and a key in its request."""
    del config
    return store.add(request=REQUEST, status_code=429, error_kind="rate_limit", error_message="too many")
