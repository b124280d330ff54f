"""Tests of the one-line summary of a call."""

import pytest

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.store.state import State
from moonpalace_addons.views.call_line import amount, call_line, line_text, seconds
from moonpalace_addons.views.durations import duration
from moonpalace_addons.wire.columns import width_of
from tests.exchanges import an_exchange
from tests.tables import for_each

SECOND = 1_000_000_000
WORDS = "why does the answer stop in the middle of a sentence"
HUNG_UP = "nothing came from upstream for the last 3.0 s"


def streamed(**changes: object) -> Exchange:
    """Return a streamed call with all fields."""
    known: dict[str, object] = {
        "id": 110,
        "model_answered": "kimi-k2.6",
        "is_stream": True,
        "finish_reason": "stop",
        "prompt_tokens": 7_412,
        "completion_tokens": 45,
        "cached_tokens": 6_912,
        "time_to_first_token": 812_000_000,
        "latency": 2_100_000_000,
    }
    return an_exchange(**(known | changes))  # type: ignore[arg-type]


def shown(call: Exchange, words: str = "", width: int | None = None) -> str:
    """Return the line without its time."""
    return line_text(call_line(call, words, width)[1:])


def test_a_whole_line() -> None:
    """A wide line has everything important, the user's words last."""
    assert shown(streamed(), WORDS) == (f'#110 kimi-k2.6 stream stop 7.4k→45 (6.9k cached) ttft 0.8s 2.1s "{WORDS}"')


def test_the_endpoint() -> None:
    """The line has the name of the call's endpoint, unless it is too narrow."""
    call = streamed(endpoint_name="claude")
    assert shown(call) == "#110 @claude kimi-k2.6 stream stop 7.4k→45 (6.9k cached) ttft 0.8s 2.1s"
    assert shown(call, width=64) == "#110 @claude kimi-k2.6 stop 7.4k→45 (6.9k cached) 2.1s"
    assert shown(call, width=56) == "#110 kimi-k2.6 stop 7.4k→45 (6.9k cached) 2.1s"
    assert shown(call, width=26) == "#110 kim…k2.6 stop"


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (110, '#110 kimi-k2.6 stream stop 7.4k→45 (6.9k cached) ttft 0.8s 2.1s "why does the answer stop in the…"'),
        (80, "#110 kimi-k2.6 stream stop 7.4k→45 (6.9k cached) ttft 0.8s 2.1s"),
        (70, "#110 kimi-k2.6 stream stop 7.4k→45 (6.9k cached) 2.1s"),
        (56, "#110 kimi-k2.6 stop 7.4k→45 (6.9k cached) 2.1s"),
        (37, "#110 kimi-k2.6 stop 2.1s"),
        (30, "#110 kimi-k2.6 stop"),
        (26, "#110 kim…k2.6 stop"),
    ],
)
def test_narrow_lines(width: int, expected: str) -> None:
    """The least important parts are left out first, and words are truncated at their ends."""
    assert shown(streamed(), WORDS, width) == expected


@pytest.mark.parametrize(
    ("words", "model"),
    [(WORDS, "kimi-k2.6"), ("月亮上有什么？请详细说明玉兔和吴刚的故事", "模型" * 20), ("", "m" * 90)],
)
def test_no_line_is_wider_than_the_terminal(words: str, model: str) -> None:
    """The line fits every width, with East Asian characters two columns wide."""
    call = streamed(model_answered=model, state=State.CLIENT_DISCONNECTED, warnings=(HUNG_UP,))
    for width in range(44, 160):
        assert width_of(line_text(call_line(call, words, width, day=True))) <= width, width


def test_the_line_is_printable() -> None:
    """Whatever clients and the API have sent, it is one line, and contains no control characters."""
    evil = "a\x1b[2J\n\u202e\x9bb"
    unnamed: dict[str, object] = {"model_answered": None, "model_requested": None}
    cases: dict[str, dict[str, object]] = {"path": unnamed, "method": unnamed, "error_kind": {"status_code": 400}}
    for field in ("endpoint_name", "model_answered", "purpose", "finish_reason", *cases):
        line = line_text(call_line(streamed(**cases.get(field, {}) | {field: evil}), evil))
        assert line.isprintable(), field
        assert line.count("[2J") == 2, field


@for_each(
    ("changes", "text", "style"),
    [
        ({}, "stop", "good"),
        ({"finish_reason": None}, "200", "good"),
        ({"finish_reason": "a\x1b[31m"}, "a [31m", "good"),
        ({"state": State.IN_FLIGHT}, "running", "quiet"),
        ({"finish_reason": "length"}, "cut by max_tokens", "warning"),
        ({"finish_reason": "max_tokens"}, "cut by max_tokens", "warning"),
        (
            {"finish_reason": "length", "warnings": ("x; the context window of 8192 tokens is full",)},
            "cut by a full context",
            "warning",
        ),
        (
            {"finish_reason": None, "warnings": ("x; the answer ended without a finish reason, it may be incomplete",)},
            "ended without a finish reason",
            "warning",
        ),
        (
            {"finish_reason": None, "warnings": ("the stream ended without message_stop: clients report it",)},
            "the stream ended early",
            "warning",
        ),
        (
            {"status_code": 429, "error_kind": "engine_overloaded_error", "retry_after": SECOND},
            "429 engine overloaded, retry after 1 s",
            "bad",
        ),
        ({"status_code": 504}, "504 Gateway Timeout", "bad"),
        ({"status_code": 404}, "404 Not Found", "bad"),
        ({"status_code": 404, "path": "/chat/completions"}, "404, the path lacks /v1", "bad"),
        ({"status_code": 404, "path": "/chat", "endpoint": "http://gw/openai"}, "404 Not Found", "bad"),
        ({"status_code": 404, "path": "/@kmi/v1/chat/completions"}, "404, no endpoint is called kmi", "bad"),
        ({"status_code": 200, "path": "/@kmi/v1/chat/completions"}, "stop", "good"),
        ({"error_kind": "server_error"}, "error in the answer: server error", "bad"),
        (
            {"state": State.CLIENT_DISCONNECTED, "error_kind": "client_disconnected", "warnings": (HUNG_UP,)},
            "silent for 3.0 s, then your program hung up",
            "bad",
        ),
        ({"state": State.CLIENT_DISCONNECTED, "error_kind": "client_disconnected"}, "your program hung up", "bad"),
        (
            {"state": State.UPSTREAM_FAILED, "error_kind": "upstream_cut", "warnings": (HUNG_UP,)},
            "the API broke off, silent for 3.0 s",
            "bad",
        ),
        ({"state": State.UPSTREAM_FAILED, "error_kind": "something_new"}, "something new", "bad"),
        ({"state": State.PROXY_DIED, "error_kind": None}, "proxy died", "bad"),
        ({"state": State.REPEAT_INTERRUPTED, "error_kind": "repeat"}, "stopped for repeating itself", "bad"),
    ],
)
def test_outcomes(changes: dict[str, object], text: str, style: str) -> None:
    """The outcome of a call is stated in words."""
    assert outcome(streamed(**changes)) == (text, style)


def test_other_calls() -> None:
    """A call without a model shows its path; one in flight has no duration."""
    unknown = dict.fromkeys(("model_requested", "model_answered", "prompt_tokens", "completion_tokens", "latency"))
    call = an_exchange(method="GET", path="/v1/models", state=State.IN_FLIGHT, **unknown)  # type: ignore[arg-type]
    assert shown(call) == "#1 GET /v1/models running"


def test_numbers() -> None:
    """Numbers and durations are short."""
    numbers = [None, 0, 999, 1000, 7_412, 9_960, 128_000, 999_600, 1_250_000]
    assert [amount(number) for number in numbers] == ["?", "0", "999", "1.0k", "7.4k", "10k", "128k", "1.0M", "1.2M"]
    times = [0, 12_400_000, 99_600_000, 100_000_000, 59_960_000_000, 125_000_000_000, 3_725_000_000_000]
    assert [seconds(each) for each in times] == ["0ms", "12ms", "99ms", "0.1s", "1m00s", "2m05s", "1h02m"]


def test_lines_and_lists_give_a_time_alike() -> None:
    """What a line says of milliseconds and minutes is what lists and the metadata say."""
    times = [9_970_000, 90_700_000, 99_999_999, 125_700_000_000, 3_599_900_000_000]
    texts = [(duration(each), seconds(each)) for each in times]
    assert texts[:3] == [("9.9ms", "9ms"), ("90ms", "90ms"), ("99ms", "99ms")]
    assert texts[3:] == [("2m05s", "2m05s"), ("59m59s", "59m59s")]
