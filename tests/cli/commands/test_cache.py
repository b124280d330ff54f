"""`mpal cache`: its complete output."""

import json
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import context_caches, exchanges, runs
from moonpalace_addons.store.records.context_caches import Claim
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write.derive import EMPTY
from moonpalace_cli.main import main
from tests.carried import carry

NOW = time.time_ns() // 1000
HOUR = 3_600_000_000


@pytest.fixture
def database(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Provide an empty store in a temporary home."""
    for name in ("MOONPALACE_DATABASE", "MOONPALACE_CONFIG", "MOONPALACE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MOONPALACE_HOME", str(tmp_path))
    url = f"sqlite:///{tmp_path / 'moonpalace.sqlite'}"
    shutil.copyfile(empty_store, tmp_path / "moonpalace.sqlite")
    return url


@pytest.fixture
def run_cache(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs `mpal cache` and returns its exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["cache", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


type RunCache = Callable[..., tuple[int, str, str]]


@pytest.fixture
def caches(database: str) -> None:
    """Store a cache that is ready, one that is being created and one that has expired."""
    engine = open_store(database)
    states = ((1, "cache-1", HOUR), (2, None, HOUR), (3, "cache-3", -HOUR))
    for number, cache_id, rest in states:
        claim = Claim("https://api", "f" * 16, bytes([number]) * 16, number, 5000, "kimi-k3", NOW - number, NOW + rest)
        row = context_caches.claim(engine, claim)
        assert row is not None
        if cache_id is not None:
            context_caches.finish(engine, row, cache_id, tokens=100 * number, expires_at=NOW + rest)
    engine.dispose()


def test_alone_it_shows_its_help(run_cache: RunCache) -> None:
    """Without a command, the help lists the commands."""
    assert run_cache() == (0, run_cache("--help")[1], "")


@pytest.mark.usefixtures("caches")
def test_list(run_cache: RunCache) -> None:
    """All caches are listed with their contents, most recently used first."""
    code, out, err = run_cache("list", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [(row["id"], row["cache_id"], row["state"]) for row in rows] == [
        (1, "cache-1", "ready"),
        (2, None, "creating"),
        (3, "cache-3", "expired"),
    ]
    for name in ("used_at", "expires_at"):
        moment = datetime.fromisoformat(rows[0][name])
        assert moment.tzinfo is not None  # a program need not guess the zone
        assert moment.isoformat(timespec="milliseconds") == rows[0][name]
    assert rows[0] | {"used_at": "", "expires_at": ""} == {
        "id": 1,
        "cache_id": "cache-1",
        "state": "ready",
        "model": "kimi-k3",
        "messages": 1,
        "bytes": 5000,
        "tokens": 100,
        "uses": 0,
        "used_at": "",
        "expires_at": "",
    }
    code, out, _ = run_cache("list")
    assert code == 0
    assert [[cell.strip() for cell in line.split("|")[1:4]] for line in out.splitlines() if "|" in line] == [
        ["id", "cache_id", "state"],
        ["1", "cache-1", "ready"],
        ["2", "", "creating"],
        ["3", "cache-3", "expired"],
    ]


@pytest.mark.usefixtures("caches")
@pytest.mark.parametrize("width", [80, 200])
def test_the_list_in_a_terminal(run_cache: RunCache, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """If the table is too wide for the terminal, each cache is a block: the terminal breaks no line."""
    monkeypatch.setattr("moonpalace_cli.commands.cache.terminal_width", lambda: width)
    _, out, _ = run_cache("list")
    assert max(map(len, out.splitlines())) <= width
    assert out.startswith("+") == (width == 200)
    assert [out.count(name) for name in ("cache-1", "cache-3", "creating")] == [1, 1, 1]


@pytest.mark.usefixtures("caches")
@pytest.mark.parametrize("name", ["1", "cache-1"])
def test_show(run_cache: RunCache, name: str) -> None:
    """A cache is shown in full, by its number or the API's id; only a fingerprint of the key is shown."""
    code, out, _ = run_cache("show", name, "--json")
    shown = json.loads(out)
    assert code == 0
    assert datetime.fromisoformat(shown["created_at"]).tzinfo is not None
    assert (shown["endpoint"], shown["key_fingerprint"], shown["prefix_hash"]) == ("https://api", "f" * 16, "01" * 16)
    code, out, _ = run_cache("show", name)
    assert [line.split()[0] for line in out.splitlines()] == list(shown)
    assert dict(line.split(maxsplit=1) for line in out.splitlines())["cache_id"] == "cache-1"


@pytest.mark.usefixtures("caches")
@pytest.mark.parametrize(
    ("arguments", "printed", "left"),
    [
        (["clear"], "removed 3 context caches\n", 0),
        (["clear", "--expired"], "removed 1 context cache\n", 2),
        (["clear", "--json"], '{"forgotten": 3}\n', 0),
    ],
)
def test_clear(run_cache: RunCache, database: str, arguments: list[str], printed: str, left: int) -> None:
    """All caches, or only expired ones, are removed; their number is printed."""
    assert run_cache(*arguments) == (0, printed, "")
    engine = open_store(database)
    assert len(context_caches.all_caches(engine)) == left
    engine.dispose()


@pytest.mark.usefixtures("database")
def test_empty(run_cache: RunCache) -> None:
    """Without caches there is an empty table, nothing as JSON, and an error for a requested one."""
    assert run_cache("list", "--json") == (0, "", "")
    assert run_cache("list")[1].count("\n") == 4
    assert run_cache("show", "cache-1")[::2] == (
        1,
        "Error: there is no context cache 'cache-1'; mpal cache list shows all\n",
    )


# ---- why ----------------------------------------------------------------------------------------------------------

SYSTEM = {"role": "system", "content": "It is 10:32:01. " + "Be helpful. " * 40}
CHANGED = {"role": "system", "content": "It is 10:32:07. " + "Be helpful. " * 40}
TURNS = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}]
LAST = {"role": "user", "content": "another"}


@pytest.fixture
def stored(database: str) -> Callable[..., None]:
    """Return a function that stores calls, each given as messages, prompt tokens and cached tokens."""

    def store(
        *calls: tuple[list[dict[str, str]], int | None, int | None], model: str = "kimi-k3", **more: object
    ) -> None:
        engine = open_store(database)
        run = {"id": str(uuid4()), "host": "h", "pid": 1, "version": "0", "started_at": 0, "heartbeat_at": 0}
        with writing(engine) as connection:
            runs.begin_run(connection, run)
            for number, (messages, prompt, cached) in enumerate(calls):
                row = EMPTY | {"uuid": str(uuid4()), "run_id": run["id"], "state": State.COMPLETED, "method": "POST"}
                row |= {"path": "/v1/chat/completions", "endpoint": "e", "query": "", "request_headers": ""}
                row |= {"started_at": NOW + number * 1_500_000, "request_bytes": 1, "is_stream": False}
                row |= {"is_coerced": False, "key_fingerprint": "f", "model_requested": model}
                row |= {"prompt_tokens": prompt, "cached_tokens": cached, **more}
                (row_id,) = exchanges.insert_exchanges(connection, [row]).values()
                body = json.dumps({"model": model, "messages": messages}).encode()
                carry(connection, row_id, request=body)
        engine.dispose()

    return store


def test_a_changed_message(run_cache: RunCache, stored: Callable[..., None]) -> None:
    """The changed message is shown, with the change and its cost."""
    stored(([SYSTEM, TURNS[0]], 600, 0), ([CHANGED, *TURNS, LAST], 900, 0))
    assert run_cache("why", "--id", "2") == (
        0,
        "call 2 continues call 1, 1.5 s earlier\n"
        "messages: 1 of 4 were in call 1 too, the first 0 in the same place\n"
        "diverged: message 1 (system) changed after 13 characters\n"
        '  - …content": "It is 10:32:01. Be helpful. Be helpful. Be helpful. Be helpful. Be he…\n'
        '  + …content": "It is 10:32:07. Be helpful. Be helpful. Be helpful. Be helpful. Be he…\n'
        "tools: 0, the same\n"
        "model: kimi-k3, the same\n"
        "tokens: 0 of 900 were cached; with the earlier prompt unchanged, 512 could have been (2 blocks of 256)\n"
        "cost: 512 tokens that were not cached\n"
        "cause: changed: the part before the difference is too short to be cached\n",
        "",
    )


def test_why_in_a_terminal(run_cache: RunCache, stored: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are broken at spaces, and nothing is lost."""
    stored(([SYSTEM, TURNS[0]], 600, 0), ([CHANGED, *TURNS, LAST], 900, 0))
    _, whole, _ = run_cache("why", "--id", "2")
    monkeypatch.setattr("moonpalace_cli.commands.cache.terminal_width", lambda: 60)
    _, folded, _ = run_cache("why", "--id", "2")
    assert max(map(len, folded.splitlines())) <= 60 < max(map(len, whole.splitlines()))
    assert folded.split() == whole.split()


def test_nothing_diverged(run_cache: RunCache, stored: Callable[..., None]) -> None:
    """An unchanged prefix that was cached cost nothing; if it was not cached, the possible reasons are given."""
    stored(([SYSTEM, TURNS[0]], 600, 0), ([SYSTEM, *TURNS, LAST], 900, 512), ([SYSTEM, *TURNS, LAST], 900, 0))
    _, out, _ = run_cache("why", "--id", "2")
    assert "diverged: nowhere" in out
    assert out.endswith("cost: nothing\n")
    _, out, _ = run_cache("why", "--id", "3")
    assert "call 3 continues call 2" in out
    assert out.endswith(
        "cause: lost: only 2 s had passed: another machine of the API answered, or it had dropped the cache\n"
    )


def test_why_as_json(run_cache: RunCache, stored: Callable[..., None]) -> None:
    """The same for programs."""
    stored(([SYSTEM, TURNS[0]], 600, 0), ([CHANGED, *TURNS, LAST], 900, 256))
    code, out, _ = run_cache("why", "--id", "2", "--json")
    document = json.loads(out)
    assert (code, document["id"], document["earlier_id"]) == (0, 2, 1)
    assert (document["divergence"]["number"], document["divergence"]["kind"]) == (1, "changed")
    assert document["tokens"] == {"prompt": 900, "cached": 256, "possible": 512, "kept": 0, "lost": 256}


def test_nothing_to_compare_with(run_cache: RunCache, stored: Callable[..., None]) -> None:
    """The first call of a conversation says so; an unknown call is an error; missing usage is unknown."""
    stored(([SYSTEM], 600, 0), ([LAST], 10, 0), ([SYSTEM, LAST], None, None))
    assert run_cache("why", "--id", "1") == (
        0,
        "call 1 continues none of the (at most 50) calls before it: "
        "none of them has a message in common with it, or a prompt nearly like it\n",
        "",
    )
    assert run_cache("why", "--id", "2")[1].startswith("call 2 continues none")
    assert run_cache("why", "--id", "3")[1].endswith("tokens: unknown, one of the two calls has no usage\n")
    assert run_cache("why", "--id", "9")[0] == 1
    assert run_cache("why") == run_cache("why", "3") == run_cache("why", "--id", "3")


def test_cached_by_others(run_cache: RunCache, stored: Callable[..., None]) -> None:
    """Cached tokens are never denied: another call, which is not stored, may have the same prefix."""
    stored(([SYSTEM], 600, 512))
    assert run_cache("why", "--id", "1")[1] == (
        "call 1 continues none of the (at most 50) calls before it, yet 512 of its 600 prompt tokens were cached: "
        "another call, older or not in this store, began in the same way\n"
    )
    assert json.loads(run_cache("why", "--id", "1", "--json")[1]) == {"id": 1, "earlier_id": None, "cached_tokens": 512}


def test_other_paths(run_cache: RunCache, stored: Callable[..., None]) -> None:
    """No claims are made about calls whose prompts cannot be compared."""
    stored(([SYSTEM], 600, 512), ([SYSTEM, LAST], 600, None), path="/v1/embeddings")
    code, out, err = run_cache("why", "--id", "1")
    assert (code, out) == (1, "")
    assert "is unknown: it went to /v1/embeddings" in err
    assert err.endswith("; 512 of its 600 prompt tokens were cached\n")
    assert run_cache("why", "--id", "2")[2].endswith("can be compared\n")


def test_another_key(run_cache: RunCache, stored: Callable[..., None]) -> None:
    """Calls with another key are ignored: caches are not shared with them."""
    stored(([SYSTEM, LAST], 600, 0))
    stored(([SYSTEM, LAST], 600, 0), key_fingerprint="g")
    assert run_cache("why", "--id", "2")[1].startswith("call 2 continues none")


def test_another_model(run_cache: RunCache, stored: Callable[..., None]) -> None:
    """A call to another model in between does not hide the call that shares a cache."""
    stored(([SYSTEM, TURNS[0]], 600, 0))
    stored(([SYSTEM, TURNS[0]], 600, 0), model="kimi-k2.6")
    stored(([SYSTEM, *TURNS, LAST], 900, 512))
    assert run_cache("why", "--id", "3")[1].startswith("call 3 continues call 1, ")
    _, out, _ = run_cache("why", "--id", "2")
    assert "call 2 continues call 1" in out
    assert "model: kimi-k3 -> kimi-k2.6: models do not share caches" in out


def test_no_chat(run_cache: RunCache, stored: Callable[..., None]) -> None:
    """A call whose prompt cannot be read is a one-line error."""
    stored(([], 1, 0))
    assert run_cache("why", "--id", "1") == (1, "", "Error: the prompt of call 1 cannot be read\n")
