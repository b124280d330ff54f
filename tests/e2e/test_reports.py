"""Rules that report calls automatically, in both ways to run the proxy."""

from pathlib import Path

import pytest

from tests.e2e.launching import Launcher
from tests.scenarios.server import MockServer
from tests.waiting import until

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("kind", ["start", "mitmdump"])
def test_a_failed_call_is_reported(launch: Launcher, mock: MockServer, tmp_path: Path, kind: str) -> None:
    """The first call that matches a new rule becomes a report automatically; others do not."""
    file, out = tmp_path / "config.yaml", tmp_path / "out"
    rules = "rules: {limited: {when: status_code == 429, to: disk, delay: 0s}}"
    file.write_text(f"endpoint: {mock.url}\nreports: {{disk: {{folder: {out}}}}}\n{rules}\n", encoding="utf-8")
    extra = {"MOONPALACE_CONFIG": str(file)}
    running = launch.start(extra=extra) if kind == "start" else launch.mitmproxy("mitmdump", "-p", "0", extra=extra)
    with running as proxy, proxy.client() as client:
        for model in ("mock-echo", "mock-429"):
            client.post(CHAT, json={"model": model, "messages": [{"role": "user", "content": "Hello"}]})
        (report,) = until(lambda: list(out.glob("*.md")))
        assert report.read_text().startswith("# Call: mock-429: 429 Too Many Requests")
        until(lambda: "reports: report 1 of rule limited is sent: " in proxy.log.text)
