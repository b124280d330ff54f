"""Third-party coding agents use `mpal mcp` while they are captured, with the mock.

They are looked for on PATH, or in the folder that MOONPALACE_TEST_AGENTS names, where this installs them: `npm install
--prefix FOLDER @openai/codex opencode-ai`.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from moonpalace_cli.mcp_server.quoting import RULE
from tests.e2e.launching import KEY, PATIENCE, Launcher, Proxy
from tests.scenarios.server import MockServer
from tests.waiting import until

FOLDER = os.environ.get("MOONPALACE_TEST_AGENTS", "")
MODEL = "mock-named-tool"
MARK = "lapis-otter-reed"
PROMPT = f'my_session{{"mark":"{MARK}"}}'
"""The prompt: the mock's model calls the tool, as a model would that understands it."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A coding agent: its program, its arguments, and its environment, both for a proxy at a URL."""

    program: str
    arguments: Callable[[str], tuple[str, ...]]
    environment: Callable[[str], Mapping[str, str]]


def codex_arguments(url: str) -> tuple[str, ...]:
    """Return the arguments that make Codex run one prompt, with the mock as the provider of its model."""
    provider = f'{{name = "mock", base_url = "{url}/v1", env_key = "MOCK_KEY", wire_api = "responses"}}'
    # Otherwise Codex asks its model before a server that starts slowly is there.
    waiting = "mcp_servers.moonpalace.required=true"
    settings = (waiting, f"model_providers.mock={provider}", 'model_provider="mock"', f'model="{MODEL}"')
    flags = [flag for each in settings for flag in ("-c", each)]
    return ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", *flags, PROMPT)


def opencode_environment(url: str) -> Mapping[str, str]:
    """Return the variables with which opencode uses the mock, and no network."""
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{url}/v1", "apiKey": KEY},
        "models": {MODEL: {"tool_call": True}},
    }
    offline = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
    config = {"provider": {"mock": provider}, "model": f"mock/{MODEL}", "share": "disabled"}
    return {"OPENCODE_CONFIG_CONTENT": json.dumps(config), **{f"OPENCODE_DISABLE_{name}": "true" for name in offline}}


AGENTS = {
    "codex": Agent("codex", codex_arguments, lambda _: {"MOCK_KEY": KEY}),
    "opencode": Agent("opencode", lambda _: ("run", PROMPT), opencode_environment),
}


def path_of(program: str) -> str:
    """Return the path of a program; skip the test where it is not installed."""
    path = shutil.which(program, path=f"{FOLDER}/node_modules/.bin" if FOLDER else None)
    return path or pytest.skip(f"{program} is not installed: see the beginning of {Path(__file__).name}")


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_reads_its_own_session(name: str, launch: Launcher, mock: MockServer, tmp_path: Path) -> None:
    """It starts the server from our entry, offers its tools, and gets the calls that it has made."""
    agent = AGENTS[name]
    program = path_of(agent.program)
    with launch.start(endpoint=mock.url) as proxy:
        home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **agent.environment(proxy.url)}
        database = ("--database", str(proxy.home / "moonpalace.sqlite"))
        added = launch.run("mcp", "--install", name, "--write", *database, folder=tmp_path)
        assert added.returncode == 0, added.stderr
        done = subprocess.run(
            [program, *agent.arguments(proxy.url)],
            cwd=tmp_path,
            env=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        until(lambda: any(is_own_call(answer) for answer in answers(proxy)))
        sessions = {str(row.session) for row in proxy.rows_so_far()}
    assert len(sessions) == 1
    assert "*" not in sessions.pop()


def answers(proxy: Proxy) -> list[str]:
    """Return the mock's answers so far: it echoes the tool's answer."""
    bodies = (proxy.bodies(row).response for row in proxy.rows_so_far())
    return [text for body in bodies if body for text in texts(json.loads(body))]


def texts(value: object) -> Iterator[str]:
    """Yield all texts of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def is_own_call(answer: str) -> bool:
    """Return whether a text is the answer of `my_session`, with the call that requested it."""
    lines = answer[max(0, answer.find(RULE)) :].split("\n")
    found = (
        re.match(r"Your (?:session, found by call|call) (\d+)", lines[1]) if lines[0] == RULE and lines[1:] else None
    )
    return found is not None and any(line.startswith("| ") and f" #{found[1]} {MODEL} " in line for line in lines)
