"""The scenarios of the mock: what each says, how it is streamed and how its connection ends."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from moonpalace_cli.mock import failures, scripts
from moonpalace_cli.mock.caching import Caching
from moonpalace_cli.mock.chunks import ToolStyle, UsagePlace
from moonpalace_cli.mock.completions import Cut, by_word, whole
from moonpalace_cli.mock.failures import Failure
from moonpalace_cli.mock.spelling import Spelling

type Creation = Literal["at once", "slow", "stalled"] | Failure
type Ending = Literal["clean", "cut", "reset", "stall", "mute"]

REPEATED_EVENTS = 300
MANY_EVENTS = 2000
BIG_SIZE = 1 << 20  # bytes

_SENTENCE = re.compile(r".+?(?:\. |\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Times:
    """Hold every pause of the mock, in seconds."""

    loop: float = 0.005  # between the events of a model that loops: slow enough to be interrupted
    slow: float = 0.3  # between the events of mock-slow
    headers: float = 1.0  # before the headers of mock-slow-headers
    split: float = 0.001  # between pieces that must arrive apart
    reset: float = 0.05  # before a reset: it would overtake what has not been read yet


@dataclass(frozen=True, slots=True)
class Delivery:
    """Say how an answer travels; `pause` (between events) and the two waits are seconds, `stop_after` counts events.

    An ending other than clean comes after `stop_after` events, or in the middle of a JSON body; `mute` ends the
    connection before the first byte. `until_close` leaves the end of the connection as the only end of the body.
    """

    ending: Ending = "clean"
    stop_after: int = 0
    until_close: bool = False
    pause: float = 0.0
    before_headers: float = 0.0
    before_ending: float = 0.0


PLAIN = Spelling()
PROMPT = Delivery()


@dataclass(frozen=True, slots=True)
class Scenario:
    """Describe how the mock behaves under one model name; `budget` is in tokens, for requests that name none.

    `breaks_off` is the failure that ends a stream after two events, `page` an HTML body sent with status 200, `cookie`
    the value of a Set-Cookie header. `creation` is what a request for a context cache gets, `caching` what becomes of
    the cache; without `caches_prefixes` the model caches nothing by itself, without `takes_hints` it refuses requests
    that have a `prompt_cache_key`.
    """

    summary: str
    script: scripts.Script = scripts.echo
    cut: Cut = by_word
    tools: ToolStyle = "in turn"
    usage: UsagePlace = "as asked"
    budget: int | None = None
    empty_choices: bool = False
    spelling: Spelling = PLAIN
    delivery: Delivery = PROMPT
    failure: Failure | None = None
    breaks_off: Failure | None = None
    repeats_key: bool = False
    page: str = ""
    cookie: str = ""
    caching: Caching = "ready"
    creation: Creation = "at once"
    caches_prefixes: bool = True
    takes_hints: bool = True


PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in to this network.</body></html>\n"


def scenarios(times: Times, events: int | None = None) -> Mapping[str, Scenario]:
    """Return all scenarios by model name; `events` replaces the number of events of those that repeat or count."""
    return _talking(times, events) | _travelling(times) | _spelled(times) | _failing() | _caching()


def _talking(times: Times, events: int | None) -> dict[str, Scenario]:
    looping = Delivery(pause=times.loop)
    loops = events or REPEATED_EVENTS
    return {
        "mock-echo": Scenario("answers with the last user message, word by word"),
        "mock-tools": Scenario("calls the first tool offered, with arguments made from its schema", scripts.one_tool),
        "mock-tools-noindex": Scenario(
            "calls every tool offered; the deltas lack index and finish the first call after the next has begun",
            scripts.every_tool,
            tools="no index",
        ),
        "mock-parallel-tools": Scenario(
            "calls every tool offered, the pieces of the calls interleaved", scripts.every_tool, tools="interleaved"
        ),
        "mock-reasoning": Scenario("sends reasoning_content, then echoes", scripts.reasoning),
        "mock-two-choices": Scenario("gives two answers, interleaved", scripts.two_choices),
        "mock-length": Scenario(
            "stops at max_tokens (16 unless given) with finish_reason length",
            scripts.length,
            budget=scripts.LENGTH_BUDGET,
        ),
        "mock-reasoning-length": Scenario(
            "uses up the budget (48 unless given) with reasoning: empty content, finish_reason length",
            scripts.endless_reasoning,
            budget=scripts.REASONING_BUDGET,
        ),
        "mock-repeat": Scenario(
            "says the same sentence 300 times, 5 ms apart", scripts.repeated(loops), _by_sentence, delivery=looping
        ),
        "mock-repeat-reasoning": Scenario(
            "thinks the same sentence 300 times, 5 ms apart",
            scripts.repeated_reasoning(loops),
            _by_sentence,
            delivery=looping,
        ),
        "mock-repeat-tools": Scenario(
            "writes the same sentence 300 times into the arguments of a tool call, 5 ms apart",
            scripts.repeated_arguments(loops),
            _by_sentence,
            delivery=looping,
        ),
        "mock-many": Scenario(
            "counts to 2,000 without a pause, one event a number", scripts.numbered(events or MANY_EVENTS)
        ),
        "mock-big": Scenario("says 1 MB in one event", scripts.large(BIG_SIZE), whole),
        "mock-emoji-cjk": Scenario("answers in Chinese with emoji", scripts.chinese),
        "mock-logprobs": Scenario("echoes with logprobs", scripts.logprobs),
        "mock-refusal": Scenario("refuses: content is null, refusal has the text", scripts.refusal),
        "mock-no-usage": Scenario("echoes without usage anywhere", usage="nowhere"),
        "mock-usage-both": Scenario("echoes; the last chunk has usage in its choice and at top level", usage="both"),
        "mock-empty-choices": Scenario("echoes; two chunks have an empty list of choices", empty_choices=True),
    }


def _travelling(times: Times) -> dict[str, Scenario]:
    return {
        "mock-slow": Scenario(
            "sends 5 events 0.3 s apart, the headers and the first at once",
            lambda request: scripts.story(request)[:1],
            _in_two,
            delivery=Delivery(pause=times.slow),
        ),
        "mock-slow-headers": Scenario("waits 1 s before the headers", delivery=Delivery(before_headers=times.headers)),
        "mock-cut": Scenario(
            "closes the connection after 3 events, or in the middle of the JSON body",
            scripts.story,
            delivery=Delivery("cut", 3),
            caching="lost",  # for what becomes of a call whose second try, without the cache, fails too
        ),
        "mock-reset": Scenario(
            "resets the connection (TCP RST) after 3 events, or in the middle of the JSON body",
            scripts.story,
            delivery=Delivery("reset", 3, before_ending=times.reset),
        ),
        "mock-reset-early": Scenario("closes the connection before any byte", delivery=Delivery("mute")),
        "mock-stall": Scenario(
            "sends 2 events, or half of the JSON body, then nothing until the client leaves",
            scripts.story,
            delivery=Delivery("stall", 2),
        ),
        "mock-until-close": Scenario(
            "ends the body by closing the connection, without a length or chunks", delivery=Delivery(until_close=True)
        ),
        "mock-split": Scenario(
            "cuts the stream inside code points and lines",
            scripts.chinese,
            spelling=Spelling(split=True),
            delivery=Delivery(pause=times.split),
        ),
    }


def _spelled(times: Times) -> dict[str, Scenario]:
    return {
        "mock-gzip": Scenario("echoes with Content-Encoding gzip, asked or not", spelling=Spelling(encoding="gzip")),
        "mock-deflate": Scenario("echoes with Content-Encoding deflate", spelling=Spelling(encoding="deflate")),
        "mock-br": Scenario("echoes with Content-Encoding br", spelling=Spelling(encoding="br")),
        "mock-zstd": Scenario("echoes with Content-Encoding zstd", spelling=Spelling(encoding="zstd")),
        "mock-comments": Scenario(
            "puts comments, event:, id: and retry: lines into the stream", spelling=Spelling(asides="fields")
        ),
        "mock-heartbeat": Scenario(
            "puts `: hb` and a blank line between the events", spelling=Spelling(asides="beats")
        ),
        "mock-crlf": Scenario("ends the lines of the stream with CR LF", spelling=Spelling(line_end="\r\n")),
        "mock-cr": Scenario("ends the lines of the stream with CR", spelling=Spelling(line_end="\r")),
        "mock-nospace": Scenario("writes data: without a space", spelling=Spelling(space=False)),
        "mock-unterminated": Scenario(
            "leaves out [DONE] and the end of the last event", spelling=Spelling(terminated=False)
        ),
        "mock-error-in-stream": Scenario(
            "breaks off after 2 events with an error object; 500 without streaming",
            scripts.story,
            breaks_off=failures.BROKEN,
        ),
        "mock-html": Scenario("answers 200 with a page of HTML", page=PAGE),
        "mock-cookie": Scenario("echoes and sets a cookie", cookie="mock_session=5e55104c00c1e; Path=/; HttpOnly"),
    }


def _failing() -> dict[str, Scenario]:
    return {
        "mock-echo-key": Scenario("answers 401 and repeats the API key", failure=failures.WRONG_KEY, repeats_key=True),
        "mock-400": Scenario("answers 400 invalid_request_error", failure=failures.BAD_REQUEST),
        "mock-400-filter": Scenario("answers 400 content_filter", failure=failures.FILTERED),
        "mock-401": Scenario("answers 401 invalid_authentication_error", failure=failures.FOREIGN_KEY),
        "mock-403": Scenario("answers 403 permission_denied_error", failure=failures.FORBIDDEN),
        "mock-404": Scenario("answers 404 resource_not_found_error", failure=failures.NO_MODEL),
        "mock-429": Scenario("answers 429 engine_overloaded_error with Retry-After", failure=failures.OVERLOADED),
        "mock-429-rate": Scenario("answers 429 rate_limit_reached_error", failure=failures.RATE_LIMITED),
        "mock-429-quota": Scenario("answers 429 exceeded_current_quota_error", failure=failures.NO_QUOTA),
        "mock-500": Scenario("answers 500 server_error", failure=failures.BROKEN),
        "mock-503": Scenario("answers 503 server_unavailable", failure=failures.UNAVAILABLE),
        "mock-504-html": Scenario("answers 504 with a page of HTML", failure=failures.GATEWAY_TIMEOUT),
    }


def _caching() -> dict[str, Scenario]:
    def cached(summary: str, caching: Caching = "ready", creation: Creation = "at once") -> Scenario:
        return Scenario(summary, caching=caching, creation=creation, caches_prefixes=False)

    return {
        "mock-cache": cached("echoes; has context caches, and caches nothing by itself"),
        "mock-cache-pending": cached("as mock-cache; a new cache is pending until it was looked at twice", "pending"),
        "mock-cache-error": cached("as mock-cache; a new cache gets the status error", "error"),
        "mock-cache-slow": cached("as mock-cache; a cache takes 1 s to make", creation="slow"),
        "mock-cache-stall": cached("as mock-cache; the answer to the making of a cache never ends", creation="stalled"),
        "mock-cache-404": cached("as mock-cache; POST /v1/caching answers 404", creation=failures.NO_CACHING),
        "mock-cache-405": cached("as mock-cache; POST /v1/caching answers 405", creation=failures.NOT_ALLOWED),
        "mock-cache-410": cached("as mock-cache; POST /v1/caching answers 410", creation=failures.CACHING_GONE),
        "mock-cache-500": cached("as mock-cache; POST /v1/caching answers 500", creation=failures.BROKEN),
        "mock-cache-lost": cached("as mock-cache; a call that names a cache gets 404", "lost"),
        "mock-cache-refused": cached("as mock-cache; a call that names a cache gets 400", "refused"),
        "mock-no-hints": Scenario("echoes; refuses prompt_cache_key with 400", takes_hints=False),
        "mock-cache-ignored": cached("as mock-cache; a call that names a cache is answered without it", "ignored"),
    }


def _by_sentence(text: str) -> list[str]:
    return _SENTENCE.findall(text)


def _in_two(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]] if text else []
