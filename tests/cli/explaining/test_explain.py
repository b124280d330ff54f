"""Tests of `mpal explain` with the mock: output, requests, storage and errors."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from moonpalace_addons.store.records import contents, exchanges, explanations
from moonpalace_addons.store.schema import EXCHANGES, EXPLANATIONS
from moonpalace_addons.store.state import State
from moonpalace_cli.explaining import asking
from tests.cli.conftest import Mpal, Store
from tests.cli.explaining.conftest import KEY
from tests.cli.explaining.recording import call, chat, refusal
from tests.scenarios.server import MockServer

TEXT = (
    "What went wrong: the API refused the request: 400 invalid request error: invalid temperature: must be between 0 "
    "and 1.\nWhat to change: mpal inspect 1 --print-request shows what was sent\n"
)
NEVER = (EXCHANGES, EXPLANATIONS)


def rows(store: Store) -> tuple[int, ...]:
    """Return the numbers of calls and of explanations in the store."""
    with store.engine.connect() as connection:
        return tuple(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in NEVER)


@pytest.mark.usefixtures("failed")
def test_an_explanation_is_printed_and_kept(store: Store, explain: Mpal, mpal: Mpal) -> None:
    """It is requested once; later it comes from the store, without a request, and `show` and `inspect` name it."""
    first = explain("--yes")
    assert (first.code, first.out) == (0, TEXT)
    assert "the request is call 2" in first.err
    again = mpal("explain")
    assert (again.code, again.out) == (0, TEXT)
    assert "explained by mock-helper on" in again.err
    assert rows(store) == (2, 1)
    shown = mpal("show")
    assert shown.out.startswith("#1 · kimi-k3")
    assert "explained by mock-helper, " in shown.out
    assert "mpal explain 1" in shown.out
    assert '"explained": "by mock-helper; mpal show 1 says more"' in mpal("inspect", "1").out
    (explanation,) = json.loads(mpal("inspect", "1", "--json").out)["explanations"]
    assert (explanation["text"], explanation["model"]) == (TEXT.strip(), "mock-helper")


@pytest.mark.usefixtures("failed")
def test_the_request_is_a_row_of_ours(store: Store, explain: Mpal, mpal: Mpal, tmp_path: object) -> None:
    """It is stored like any other call, marked, with its tokens and its cost, and without its key."""
    config = store.engine.url.database or ""
    home = config.rpartition("/")[0]
    with open(f"{home}/config.yaml", "w") as file:  # noqa: PTH123
        file.write("prices:\n    mock-helper: {input: 1, output: 2}\n")
    assert explain("-y").code == 0
    row = exchanges.latest(store.engine, limit=1)[0]
    assert (row.purpose, row.status_code, row.finish_reason, row.is_stream) == ("explain", 200, "stop", True)
    assert row.prompt_tokens
    assert row.cost == pytest.approx((row.prompt_tokens + 2 * (row.completion_tokens or 0)) / 1e6)
    assert row.key_fingerprint
    assert KEY not in row.request_headers
    assert "Authorization" in row.request_headers
    listed = mpal("list", "-p", "purpose == 'explain'", "--columns", "id,cost")
    assert f"| {row.id} " in listed.out
    assert "by mpal explain" in mpal("log").out
    assert mpal("why").out.startswith("#1 ")  # the newest call of a program


@pytest.mark.usefixtures("failed")
def test_the_exact_text_is_shown_before_it_is_sent(
    store: Store, mock: MockServer, explain: Mpal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text that is shown and confirmed is the body of the request; "no" sends nothing."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    shown: list[str] = []
    monkeypatch.setattr("click.confirm", lambda *_, **__: bool(shown))
    refused = explain()
    assert (refused.code, refused.out, rows(store)) == (1, "", (1, 0))
    assert refused.err.endswith("Error: nothing was sent\n")
    shown.append("yes")
    asked = explain()
    assert asked.code == 0
    body = json.loads(contents.bodies(store.engine, 2).request or b"")
    for message in body["messages"]:
        assert message["content"] in asked.err
    assert explain("--again").err.startswith("asking mock-helper at ")  # not shown a second time


def test_nothing_is_sent_unasked(explain: Mpal, store: Store, failed: int) -> None:
    """Without a terminal, the first time needs --yes; --dry-run prints the text and sends nothing."""
    refused = explain()
    assert (refused.code, rows(store)) == (1, (1, 0))
    assert refused.err.startswith("To mock-helper at http://127.0.0.1:")
    assert refused.err.endswith("; if it may have the text above, give --yes\n")
    dry = explain("--dry-run", str(failed))
    assert (dry.code, dry.err, rows(store)) == (0, "", (1, 0))
    assert "To mock-helper at http://127.0.0.1:" in dry.out
    assert "must be between 0 and 1" in dry.out


@pytest.mark.usefixtures("failed")
def test_another_question_and_language_are_asked_anew(
    store: Store, explain: Mpal, mpal: Mpal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question, another language and --again create a new explanation; each is stored."""
    assert explain("-y").code == 0
    assert explain("--question", "Which values are allowed? sk-0123456789abcdefghij0123").code == 0
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    chinese = explain()
    assert chinese.code == 0
    assert re.fullmatch(
        r"正在询问 http://127\.0\.0\.1:\d+ 的 mock-helper …\n解释完毕，用时 [\d.]+m?s；这次请求是调用 4\n", chinese.err
    )
    assert explain("--again").code == 0
    assert rows(store) == (5, 4)
    kept = explanations.of_call(store.engine, 1)
    assert [each.language for each in kept] == ["English", "English", *["Chinese (simplified characters)"] * 2]
    shown = [line for line in mpal("show").out.splitlines() if "mock-helper，" in line]
    assert [line.rpartition("：")[2] for line in shown] == [
        "mpal explain 1",
        "mpal explain 1 --question 'Which values are allowed?",
    ]
    assert kept[1].question is not None
    assert "sk-0123456789abc" not in kept[1].question
    asked = [contents.bodies(store.engine, row).request or b"" for row in (3, 4)]
    assert b"Answer this question of the programmer about the record: Which values" in asked[0]
    assert b"in Chinese (simplified characters)" in asked[1]
    assert "请用简体中文写，就像写给同事看" in asked[1].decode()
    assert "中文" not in asked[0].decode()


def test_a_group_is_explained_at_once(store: Store, explain: Mpal, mpal: Mpal) -> None:
    """With filters, all matching calls except ours are in one request; the explanation is stored for each."""
    for number in range(7):
        call(store.engine, chat(), 429 if number % 3 else 500, refusal("rate_limit_reached_error", "max RPM: 20"))
    call(store.engine, chat(), 200, {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})
    assert explain("--failed", "-y").code == 0
    sent = json.loads(contents.bodies(store.engine, 9).request or b"")["messages"][1]["content"]
    assert "7 calls match" in sent
    assert 'ended: 4 x "429 rate limit reached", 3 x "500 rate limit reached"' in sent
    assert [len(explanations.of_call(store.engine, row)) for row in range(1, 9)] == [*[1] * 7, 0]
    assert mpal("explain", "--failed").err.startswith("explained by mock-helper")
    assert ", with 6 more: mpal inspect 1 --json" in mpal("show", "1").out
    assert explain("1").code == 0  # alone it is another subject
    assert len(explanations.of_call(store.engine, 1)) == 2


ERRORS = (
    ("mock-401", "(401 invalid authentication): Invalid Authentication; check the key: MOONSHOT_API_KEY"),
    ("mock-429", "(429 engine overloaded, retry after 1 s): The engine is currently overloaded"),
    ("mock-429-quota", "(429 exceeded current quota): Your account is suspended"),
    ("mock-500", "(500 server error): The server had an error"),
    ("mock-504-html", "(504 Gateway Timeout)"),
    ("mock-400", "(400 invalid request): Invalid request: temperature"),
    ("mock-cut", "the connection broke before the end of the answer"),
    ("mock-reset", "the connection broke before the end of the answer"),
    ("mock-reset-early", "the connection broke before the end of the answer"),
    ("mock-error-in-stream", "(error in the answer: server error): The server had an error"),
    ("mock-length", "(cut by max_tokens)"),
    ("mock-reasoning-length", "(cut by max_tokens)"),
)


@pytest.mark.parametrize(("model", "words"), ERRORS, ids=lambda text: text[:20])
@pytest.mark.usefixtures("failed")
def test_errors_are_one_line_and_nothing_is_kept(store: Store, explain: Mpal, model: str, words: str) -> None:
    """After an error of the model, or a broken answer, neither a row nor an explanation is stored."""
    result = explain("-y", model=model)
    asked, *error = result.err.splitlines()
    assert (result.code, len(error), rows(store)) == (1, 1, (1, 0))
    assert asked.startswith(f"asking {model} at http://127.0.0.1:")
    assert words in error[0]
    assert error[0].endswith("; nothing was kept")
    assert result.out == "" or result.out.endswith("\n")


@pytest.mark.usefixtures("failed")
def test_silence_is_given_up(store: Store, explain: Mpal) -> None:
    """A model that stops in the middle times out after --idle-timeout."""
    result = explain("-y", "--idle-timeout", "0.2", model="mock-stall")
    assert (result.code, rows(store)) == (1, (1, 0))
    assert "nothing came for 0.2 s; nothing was kept" in result.err


@pytest.mark.usefixtures("failed")
def test_a_host_that_is_not_there(store: Store, mpal: Mpal) -> None:
    """Without a network there is one line with the reason."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = mpal("explain", "-y", "--via", address)
    assert (result.code, rows(store)) == (1, (1, 0))
    assert result.err.endswith(
        f"Error: kimi-k3 at {address}: cannot connect to 127.0.0.1: Connection refused; nothing was kept\n"
    )


@pytest.mark.usefixtures("failed")
def test_the_kimi_api_needs_a_key(mpal: Mpal) -> None:
    """Without one nothing is sent, and the line says where to put a key."""
    result = mpal("explain", "-y")
    assert result.code == 1
    assert result.err == (
        "Error: kimi-k3 at https://api.moonshot.cn needs a key: set MOONSHOT_API_KEY or give --key; "
        "--via asks another endpoint, such as a local one\n"
    )


@pytest.mark.usefixtures("failed")
def test_an_interruption_leaves_nothing(store: Store, explain: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during an answer ends the command with one line and exit code 130."""
    real = asking.Asking.run

    def interrupted(self: asking.Asking) -> Iterator[tuple[str, str]]:
        for place, piece in enumerate(real(self)):
            if place == 3:
                raise KeyboardInterrupt
            yield piece

    monkeypatch.setattr(asking.Asking, "run", interrupted)
    result = explain("-y")
    assert (result.code, result.out, rows(store)) == (130, "What went wrong: \n", (1, 0))
    assert result.err.endswith("Error: interrupted; nothing was kept\n")


@pytest.mark.usefixtures("failed")
def test_a_refused_write_keeps_nothing(store: Store, explain: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row and the explanation are stored together or not at all."""

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device", "moonpalace.sqlite")

    monkeypatch.setattr(explanations, "keep", broken)
    assert explain("-y").code == 1
    assert rows(store) == (1, 0)


def test_a_call_under_way_is_not_explained(store: Store, explain: Mpal) -> None:
    """A call in flight has no end to explain."""
    row = store.add(state=State.IN_FLIGHT, response=None)
    result = explain(str(row), "-y")
    assert (result.code, result.err) == (1, "Error: call 1 is still under way: explain it when it has ended\n")
