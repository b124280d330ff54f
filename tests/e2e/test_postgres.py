"""Two proxies and a reader on one PostgreSQL, as in a team."""

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, text

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import contents, exchanges
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from tests.e2e.launching import Launcher
from tests.postgres_server import Databases
from tests.scenarios.server import MockServer
from tests.waiting import until

KEY = "sk-e2e-client-0123456789"
CALLS, TOGETHER, TURNS = 150, 20, 10
READER = """
import sys, threading
from moonpalace_cli.main import main
done = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), done.set())).start()
while not done.wait(0.1):
    assert main(["list", "-n", "5000", "--json"]) == 0
    print('end of list', flush=True)
"""
"""Script that lists the calls repeatedly, with a line after each list, until its standard input ends."""
PASSWORD = "hunter22-and-more"  # the server of the tests asks for none, and takes any


@dataclass(frozen=True)
class Call:
    """The request and the answer of a client."""

    sent: bytes
    got: bytes
    is_stream: bool


@dataclass
class Outcome:
    """The result of all calls: the answers and rows by request id, and what a reader saw meanwhile."""

    calls: dict[str, Call]
    rows: dict[str, Exchange]
    bodies: dict[str, Bodies]
    lists: list[str]
    said: list[str]
    command_lines: list[str]


def request(proxy: int, number: int) -> bytes:
    """Return a turn of a conversation: with every second one, both proxies get the same history at the same time."""
    speaker = proxy if number % 2 else 2
    messages = []
    for turn in range(number % TURNS + 1):
        # The mock repeats what was said last, piece by piece: that is short here.
        messages.append(
            {"role": "assistant", "content": f"{speaker} {number // TURNS} {turn}: " + "你好 moon 🌙 " * 30}
        )
        messages.append({"role": "user", "content": f"go on {turn}"})
    body = {"model": "kimi-k2.6", "stream": number % 3 == 0, "messages": messages}
    return json.dumps(body, ensure_ascii=number % 5 == 0).encode()


async def calls_through(url: str, proxy: int) -> dict[str, Call]:
    """Make all calls of a proxy, some of them concurrently."""
    limits = httpx.Limits(max_connections=TOGETHER)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    made = {}
    async with httpx.AsyncClient(
        base_url=url,
        headers=headers,
        limits=limits,
        timeout=120,
        trust_env=False,
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    ) as client:

        async def work(first: int) -> None:
            for number in range(first, CALLS, TOGETHER):
                key, body = f"{proxy}-{number}", request(proxy, number)
                answer = await client.post("/v1/chat/completions", content=body, headers={"X-Request-Id": key})
                assert answer.status_code == 200, answer.text
                made[key] = Call(body, answer.content, number % 3 == 0)

        await asyncio.gather(*(work(first) for first in range(TOGETHER)))
    return made


@pytest.fixture(scope="module")
def url(postgres: Databases) -> Iterator[str]:
    """Provide the URL of a blank database, which contains a password."""
    with postgres.database() as name:
        yield postgres.url(name).replace("//postgres@", f"//postgres:{PASSWORD}@")


@pytest.fixture(scope="module")
def outcome(launch: Launcher, mock: MockServer, url: str) -> Outcome:
    """Provide the result of hundreds of calls through two proxies started together, while a reader listed them."""
    environment = launch.environment(extra={"MOONPALACE_DATABASE": url})
    looked = launch.folder() / "looks"
    running = [launch.start("--database", url, endpoint=mock.url, fresh=True) for _ in range(2)]
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        # Both find a blank database in the same moment.
        proxies = list(pool.map(stack.enter_context, running))
        command_lines = [Path(f"/proc/{each.process.pid}/cmdline").read_text() for each in proxies]
        with looked.open("wb") as file:
            command = [sys.executable, "-c", READER]
            reader = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=file, stderr=file)
        try:
            until(looked.read_bytes)  # it has begun
            made = [pool.submit(asyncio.run, calls_through(each.url, number)) for number, each in enumerate(proxies)]
            calls = {key: call for each in made for key, call in each.result().items()}
        finally:
            stack.close()
            reader.communicate(timeout=60)
    assert reader.returncode == 0
    store = open_store(url)
    rows = {row.client_request_id or "": row for row in exchanges.latest(store, limit=10_000)}
    bodies = {key: contents.bodies(store, row.id) for key, row in rows.items()}
    store.dispose()
    lists = looked.read_text().split("end of list\n")[:-1]
    return Outcome(calls, rows, bodies, lists, [each.log.text for each in proxies], command_lines)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """Provide an engine on the database."""
    engine = open_store(url)
    yield engine
    engine.dispose()


def test_every_call_is_one_completed_row(outcome: Outcome, engine: Engine) -> None:
    """Each call has one completed row with a unique id, from two runs that have ended."""
    assert len(outcome.calls) == len(outcome.rows) == 2 * CALLS
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*), count(DISTINCT uuid) FROM exchanges")).one() == (
            2 * CALLS,
            2 * CALLS,
        )
        runs = connection.execute(text("SELECT ended_at FROM runs")).scalars().all()
    assert {(row.state, row.status_code) for row in outcome.rows.values()} == {(State.COMPLETED, 200)}
    assert len(runs) == 2
    assert None not in runs


def test_every_call_is_stored_byte_for_byte(outcome: Outcome) -> None:
    """The stored requests and answers equal each client's bytes, streams as received."""
    for key, call in outcome.calls.items():
        stored = outcome.bodies[key]
        assert stored.request == call.sent
        assert (stored.event_stream if call.is_stream else stored.response) == call.got


def test_a_key_has_one_fingerprint(outcome: Outcome) -> None:
    """Both proxies give the same key the same fingerprint."""
    assert len({row.key_fingerprint for row in outcome.rows.values()}) == 1


def test_what_both_proxies_get_is_stored_once(outcome: Outcome, engine: Engine) -> None:
    """A request sent through both proxies, often simultaneously, is stored in the same chunks."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT client_request_id, request_parts FROM exchanges")).all()
        parts = connection.execute(text("SELECT count(*), count(DISTINCT hash) FROM parts")).one()
    pieces = {row.client_request_id: row.request_parts for row in rows}
    same = [number for number in range(CALLS) if outcome.calls[f"0-{number}"].sent == outcome.calls[f"1-{number}"].sent]
    assert len(same) == CALLS // 2
    assert [pieces[f"0-{number}"] for number in same] == [pieces[f"1-{number}"] for number in same]
    assert parts[0] == parts[1]


def test_the_reader_sees_more_and_more(outcome: Outcome) -> None:
    """Every listing while the proxies write succeeds, newest first, and never has fewer calls than the one before."""
    seen = [[json.loads(line)["requested_at"] for line in look.splitlines()] for look in outcome.lists]
    assert len({len(times) for times in seen}) > 2
    assert all(times == sorted(times, reverse=True) for times in seen)
    assert [len(times) for times in seen] == sorted(len(times) for times in seen)


def test_nobody_was_in_trouble(outcome: Outcome) -> None:
    """Neither proxy logs anything about the store, and the password is in no log or process list."""
    for said in (*outcome.said, *outcome.command_lines):
        assert "store:" not in said
        assert PASSWORD not in said
    assert all(" --database postgresql+psycopg://***@/" in line for line in outcome.command_lines)


@pytest.mark.parametrize(
    "command", [("doctor", "--json"), ("list", "--json"), ("inspect", "--id", "1"), ("export", "--id", "1")]
)
@pytest.mark.usefixtures("outcome")
def test_no_command_shows_the_password(launch: Launcher, url: str, tmp_path: Path, command: tuple[str, ...]) -> None:
    """The output of commands, and the file of an export, do not contain the database's password."""
    arguments = (*command, "--directory", str(tmp_path)) if command[0] == "export" else command
    done = launch.run(*arguments, extra={"MOONPALACE_DATABASE": url})
    assert done.returncode == 0, done.stderr
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in done.stdout + done.stderr + written


def test_the_view_has_the_documented_columns(outcome: Outcome, engine: Engine) -> None:
    """Any client of PostgreSQL can read the calls, with bodies as text, from the documented view."""
    query = (
        "SELECT request_id, request_body, response_body, latency, created_at FROM moonshot_requests "
        "WHERE response_status_code = 200 AND request_path = '/v1/chat/completions' AND moonshot_id IS NOT NULL"
    )
    with engine.connect() as connection:
        rows = connection.execute(text(query)).all()
    assert len(rows) == 2 * CALLS
    for key, asked, answered, latency, created in rows:
        assert asked.encode() == outcome.calls[key].sent
        assert answered.encode() == outcome.bodies[key].response
        assert latency == outcome.rows[key].latency
        assert created == outcome.rows[key].started_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
