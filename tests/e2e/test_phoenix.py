"""Calls exported to Arize Phoenix, a third-party receiver, in a separate environment.

It runs only if MOONPALACE_TEST_PHOENIX names a folder: that of a virtual environment with Phoenix, which is created if
it is missing. Phoenix and its dependencies are 600 MB, and take a minute to install.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.launching import Launcher, free_port
from tests.scenarios.server import MockServer
from tests.waiting import until

FOLDER = os.environ.get("MOONPALACE_TEST_PHOENIX", "")
CHAT = "/v1/chat/completions"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
START_TIMEOUT = 600.0
"""Seconds for its start, with long imports and the creation of its tables: 20 s on an idle machine."""
CONFIG = 'prices: {"*": {input: 1000, output: 2000}}\n'

pytestmark = pytest.mark.skipif(not FOLDER, reason="MOONPALACE_TEST_PHOENIX names no folder for Phoenix")


def installed(folder: Path) -> Path:
    """Return the program, after installing it if it is missing; skip the test if that is not possible."""
    program = folder / "bin" / "phoenix"
    if not program.exists():
        commands = [
            [sys.executable, "-m", "venv", str(folder)],
            [str(folder / "bin" / "pip"), "install", "-q", "arize-phoenix"],
        ]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"Phoenix cannot be installed: {done.stderr.strip()[-300:]}")
    return program


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start Phoenix with an empty store; give its URL."""
    port, folder = free_port(), tmp_path_factory.mktemp("phoenix")
    environment = os.environ | {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([installed(Path(FOLDER)), "serve"], env=environment, stdout=log, stderr=log)
    try:
        until(lambda: is_ready(url), START_TIMEOUT)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def is_ready(url: str) -> bool:
    """Return whether Phoenix answers."""
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def spans(url: str) -> list[dict[str, Any]]:
    """Return the spans in Phoenix."""
    answer = httpx.get(f"{url}/v1/projects/default/spans", trust_env=False)
    return answer.json()["data"] if answer.status_code == 200 else []


def test_phoenix_shows_calls(launch: Launcher, mock: MockServer, phoenix: str) -> None:
    """It shows model, tokens, cost and messages of a call, with the client's span as its parent."""
    file = launch.folder() / "config.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    extra = {"OTEL_EXPORTER_OTLP_ENDPOINT": phoenix, "MOONPALACE_CONFIG": str(file)}
    body = {"model": "mock-reasoning", "stream": True, "messages": [{"role": "user", "content": "Why is it blue?"}]}
    with launch.start("--otel-content", endpoint=mock.url, extra=extra) as proxy:
        with proxy.client() as client:
            headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
            assert client.post(CHAT, json=body, headers=headers).status_code == 200
            assert client.post(CHAT, json=body | {"model": "mock-429"}).status_code == 429
        until(lambda: len(spans(phoenix)) == 2)
        found = {span["name"]: span for span in spans(phoenix)}
        rows = proxy.rows(2)
    span, failed = found["chat mock-reasoning"], found["chat mock-429"]
    assert (span["context"]["trace_id"], span["parent_id"], span["span_kind"]) == (TRACE, SPAN, "LLM")
    assert (span["status_code"], failed["status_code"]) == ("UNSET", "ERROR")
    attributes = span["attributes"]
    assert attributes["llm.model_name"] == "mock-reasoning"
    assert (attributes["llm.token_count.prompt"], attributes["llm.token_count.completion"]) == (
        rows[0].prompt_tokens,
        rows[0].completion_tokens,
    )
    assert attributes["gen_ai.usage.cost"] == pytest.approx(rows[0].cost)
    assert attributes["llm.input_messages.0.message.content"] == "Why is it blue?"
    assert attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert failed["attributes"]["error.type"] == "engine_overloaded_error"
