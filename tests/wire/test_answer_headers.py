"""Tests of response headers with the same meaning under different names."""

from collections.abc import Callable
from functools import partial

import pytest

from moonpalace_addons.wire.answer_headers import AnswerHeaders, read
from tests.linear import takes_linear_time
from tests.tables import for_each

CASES: dict[str, tuple[dict[str, str], AnswerHeaders]] = {
    "Kimi": (
        {
            "msh-request-id": "r-1",
            "x-request-id": "r-2",
            "msh-uid": "u",
            "msh-gid": "g",
            "server-timing": "inner; dur=12",
            "openai-processing-ms": "99",
            "msh-context-cache-id": "cache-1",
            "msh-context-cache-token-saved": "256",
            "retry-after": "3",
        },
        AnswerHeaders("r-1", "u", "g", 12, "cache-1", 256, retry_after=3_000_000_000),
    ),
    "OpenAI": (
        {
            "x-request-id": "req_1",
            "openai-processing-ms": "812",
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-remaining-tokens": "149984",
            "retry-after-ms": "1500",
            "retry-after": "2",
        },
        AnswerHeaders("req_1", None, None, 812, None, None, 59, 149984, 1_500_000_000),
    ),
    "Anthropic": (
        {
            "request-id": "req_2",
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-tokens-remaining": "7",
        },
        AnswerHeaders("req_2", requests_left=0, tokens_left=7),
    ),
    "others": (
        {"x-ratelimit-remaining": "5", "server-timing": "17"},
        AnswerHeaders(None, None, None, 17, None, None, 5),
    ),
    "metrics of a network in front": (
        {"server-timing": 'cfL4;desc="?proto=TCP, dur=3", cfEdge;dur=9, inner;desc="a;b" ; dur=1043.7, cfOrigin;dur=0'},
        AnswerHeaders(server_timing=1043),
    ),
    "only metrics of a network in front": (
        {"server-timing": "cfEdge;dur=9, cdn-cache; desc=HIT, edge; dur=1", "openai-processing-ms": "77"},
        AnswerHeaders(server_timing=77),
    ),
    "nothing but a network in front": ({"server-timing": "cfEdge;dur=9"}, AnswerHeaders()),
    "a metric of another name": ({"server-timing": "db, total;dur=5, app;dur=6"}, AnswerHeaders(server_timing=5)),
    "fractions of seconds": ({"retry-after": "0.25"}, AnswerHeaders(retry_after=250_000_000)),
    "what is no number": (
        {
            "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT",
            "x-ratelimit-remaining-tokens": "many",
            "msh-context-cache-token-saved": "9" * 30,
            "openai-processing-ms": "-1",
            "server-timing": "cache",
            "x-request-id": "",
        },
        AnswerHeaders(),
    ),
    "nothing": ({}, AnswerHeaders()),
}


@pytest.mark.parametrize("name", CASES)
def test_headers(name: str) -> None:
    """Each API's own names fill the same fields; invalid values are missing."""
    named, expected = CASES[name]
    assert read(named) == expected


@for_each("text", ["a", "a ; ", "a ; x", ",", ", a; x", 'a;"', ', a; x="', ", a;  dur= ", "; dur=", " ", "a;b=c , "])
def test_server_timing_of_any_size(text: str) -> None:
    """An API may send anything: the time that it takes to read grows with its length."""

    def prepare(amount: int) -> Callable[[], object]:
        return partial(read, {"server-timing": text * amount})

    assert takes_linear_time(prepare, 5_000)
