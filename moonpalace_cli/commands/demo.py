"""`mpal demo`: a tour with a mock API, without an account or a network."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import click

from moonpalace_addons.errors import MoonPalaceError

START_TIMEOUT = 60.0
SHOWN, WIDTH = 4, 150
"""Lines shown of an answer, and characters of each."""

KEY = "sk-demo-this-key-is-stored-nowhere"
PAUSE = 0.02
"""Seconds between the mock's events, so that streams have visible timings."""

CALLS: tuple[tuple[str, Mapping[str, object]], ...] = (
    (
        "a plain call",
        {"model": "mock-echo", "messages": [{"role": "user", "content": "How far is the moon? 月亮有多远？"}]},
    ),
    (
        "a stream that thinks first",
        {
            "model": "mock-reasoning",
            "stream": True,
            "messages": [{"role": "user", "content": "Which palace stands on the moon?"}],
        },
    ),
    (
        "an answer cut off by max_tokens",
        {"model": "mock-length", "max_tokens": 16, "messages": [{"role": "user", "content": "Tell me everything."}]},
    ),
    ("a call over the rate limit", {"model": "mock-429", "messages": [{"role": "user", "content": "Me again."}]}),
)


VIEWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Every call is a row. Here they are:", ("log",)),
    ("What happened to the second one?", ("show", "2")),
    ("And why does the answer of the third stop in the middle?", ("why", "3")),
    ("As a report, to send with a question, without any secret:", ("export", "3", "--report")),
)
"""The steps after the calls: a text and the command to run."""
MORE = ("log", "show 2", "inspect 2 --timeline", "why 3", "cost", "list --failed", "export 3 --report")
"""Commands to try with a store that was kept."""


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep the store, and print commands to try.")
def command(keep: bool) -> None:
    """Start a mock API and the proxy, make calls, and show the results.

    It uses a temporary folder, removes it at the end unless --keep is given, and takes a few seconds.
    """
    if keep:
        folder = tempfile.mkdtemp(prefix="moonpalace-demo-")
        tour(folder)
        explain("The calls are still there. Look around:")
        home = f"export MOONPALACE_HOME={shlex.quote(folder)}"
        for line in (home, *(f"mpal {command}" for command in MORE), f"rm -r {shlex.quote(folder)}"):
            click.echo(f"  {line}")
        explain("With a key:")
    else:
        with tempfile.TemporaryDirectory(prefix="moonpalace-demo-") as temporary:
            tour(temporary)
        explain("That was all. mpal demo --keep keeps the store, and prints commands to try. With a key:")
    click.echo("  mpal start    and set base_url of your client as it says")


def tour(folder: str) -> None:
    """Make calls into a store in a folder, and show them."""
    from moonpalace_cli.mock.server import MockServer  # tornado takes 0.2 s

    with MockServer() as mock:
        environment = clean_environment(Path(folder))
        explain(f"A mock of the Kimi API listens on {mock.url}; the proxy is started in front of it:")
        show(f"mpal start --port 0 --endpoint {mock.url}")
        with proxy(mock.url, environment) as (base_url, log):
            for number, (title, body) in enumerate(CALLS, 1):
                explain(f"Your program makes {title}, with base_url={base_url}:")
                call(base_url, body)
                log.wait_for(f"last_insert_id=({number})\n")
        for question, arguments in VIEWS:
            explain(question)
            mpal(environment, *arguments)


def clean_environment(folder: Path) -> dict[str, str]:
    """Return the environment without the user's own settings, with `folder` as the data folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MOONPALACE_")}
    source = os.pathsep.join(str(Path(module).parents[level]) for module, level in own_modules())
    path = os.pathsep.join(part for part in (source, environment.get("PYTHONPATH", "")) if part)
    # Nobody is there to use a pager.
    return environment | {"MOONPALACE_HOME": str(folder), "PYTHONPATH": path, "PAGER": "cat"}


def own_modules() -> list[tuple[str, int]]:
    """Return this package's files, each with its depth below the source root, for the child processes."""
    import moonpalace_addons

    return [(__file__, 2), (str(moonpalace_addons.__file__), 1)]


@contextmanager
def proxy(endpoint: str, environment: Mapping[str, str]) -> Iterator[tuple[str, "LogReader"]]:
    """Run `mpal start` on a free port, and yield its base_url and its log."""
    arguments = ["start", "--port", "0", "--endpoint", endpoint]
    with subprocess.Popen(mpal_command(*arguments), env=environment, stderr=subprocess.PIPE) as child:
        log = LogReader(cast(IO[bytes], child.stderr).fileno())
        try:
            announced = log.wait_for(r'base_url to "([^"]+)"')
            if announced is None:
                raise MoonPalaceError("the proxy of the demo did not start")
            yield announced, log
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait()


class LogReader:
    """Forward a log and search it."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.text = ""

    def wait_for(self, pattern: str) -> str | None:
        """Return the pattern's group as soon as it matches; None at the end or after `START_TIMEOUT` seconds."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            try:
                piece = os.read(self.descriptor, 65536).decode("utf-8", "replace")
                if not piece:  # the process has exited
                    return None
            except BlockingIOError:
                piece = ""
            click.echo(piece, nl=False)
            self.text += piece
            if match := re.search(pattern, self.text):
                return match[1]
            time.sleep(0.02)
        return None


def call(base_url: str, body: Mapping[str, object]) -> None:
    """Make one chat call and show its answer as it arrives."""
    pace = {"X-Mock-Delay": str(PAUSE)} if body.get("stream") else {}
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{base_url}/chat/completions",
        json.dumps(body, ensure_ascii=False).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}", **pace},
    )
    # A proxy from the environment must not see or break the demo's calls.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        text = f"{error.code} {error.read().decode()}"
    lines = [line for line in text.splitlines() if line]
    if len(lines) > SHOWN:
        lines = [*lines[: SHOWN // 2], f"… {len(lines) - SHOWN} more events …", *lines[-SHOWN // 2 :]]
    for line in lines:
        click.echo(f"  {line}" if len(line) <= WIDTH else f"  {line[:WIDTH]}…")


def mpal(environment: Mapping[str, str], *arguments: str) -> None:
    """Show a command and run it."""
    show(f"mpal {' '.join(arguments)}")
    sys.stdout.flush()
    subprocess.run(mpal_command(*arguments), env=environment, check=True)


def mpal_command(*arguments: str) -> list[str]:
    """Return the command line that runs this very `mpal`."""
    return [sys.executable, "-m", "moonpalace_cli.main", *arguments]


def explain(text: str) -> None:
    """Print an explanation of the next step."""
    click.secho(f"\n{text}", bold=True)


def show(text: str) -> None:
    """Print a command as the user would type it."""
    click.secho(f"$ {text}", fg="cyan")
