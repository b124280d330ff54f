"""The scenarios of the mock: the text of each, its streaming, and the end of its connection."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from moonpalace_cli.mock import failures, scripts
from moonpalace_cli.mock.completions import Cut, Fields, by_word
from moonpalace_cli.mock.failures import Failure
from moonpalace_cli.mock.spelling import Spelling

type Ending = Literal["clean", "cut", "reset", "stall", "mute"]

REPEATED_EVENTS = 300
MANY_EVENTS = 2000

_SENTENCE = re.compile(r".+?(?:\. |\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Times:
    """Every pause of the mock, in seconds."""

    loop: float = 0.005  # between the events of a model that loops: slow enough to be interrupted
    slow: float = 0.3  # between the events of mock-slow
    headers: float = 1.0  # before the headers of mock-slow-headers
    split: float = 0.001  # between pieces that must arrive apart
    reset: float = 0.05  # before a reset: it would overtake what has not been read yet


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an answer is sent; `pause` (between events) and the two waits are seconds, `stop_after` counts events.

    An ending other than clean comes after `stop_after` events, or in the middle of a JSON body; `mute` ends the
    connection before the first byte. With `until_close` only the end of the connection marks the end of the body.
    """

    ending: Ending = "clean"
    stop_after: int = 0
    until_close: bool = False
    pause: float = 0.0
    before_headers: float = 0.0
    before_ending: float = 0.0


PLAIN = Spelling()
PROMPT = Delivery()


def unchanged[T](value: T) -> T:
    """Return the value unchanged."""
    return value


@dataclass(frozen=True, slots=True)
class Scenario:
    """The behaviour of the mock for one model name; `budget` is in tokens, for requests without a limit.

    `interleaved` lets the pieces of parallel tool calls alternate. `breaks_off` is the failure that ends a stream after
    two events. `headers` are added to those of an answer, and `edit_chunks` and `edit_answer` change its JSON.
    """

    summary: str
    script: scripts.Script = scripts.echo
    cut: Cut = by_word
    interleaved: bool = False
    budget: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    spelling: Spelling = PLAIN
    delivery: Delivery = PROMPT
    failure: Failure | None = None
    breaks_off: Failure | None = None
    edit_chunks: Callable[[list[Fields]], list[Fields]] = unchanged
    edit_answer: Callable[[Fields], Fields] = unchanged


def scenarios(times: Times, events: int | None = None) -> Mapping[str, Scenario]:
    """Return all scenarios by model name; `events` replaces the number of events in scenarios that repeat or count."""
    return _answering(times, events) | _breaking(times) | _failing()


def _answering(times: Times, events: int | None) -> dict[str, Scenario]:
    return {
        "mock-echo": Scenario("answers with the last user message, word by word"),
        "mock-tools": Scenario("calls the first tool offered, with arguments made from its schema", scripts.one_tool),
        "mock-parallel-tools": Scenario(
            "calls every tool offered, the pieces of the calls interleaved", scripts.every_tool, interleaved=True
        ),
        "mock-named-tool": Scenario(
            'calls the tool that the last user message names, as in get_weather {"city": "Beijing"}; echoes its result',
            scripts.named_tool,
        ),
        "mock-reasoning": Scenario("sends reasoning_content, then echoes", scripts.reasoning),
        "mock-helper": Scenario("explains a call as mpal explain asks, by the first finding in it", scripts.helper),
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
            "says the same sentence 300 times, 5 ms apart",
            scripts.repeated(events or REPEATED_EVENTS),
            by_sentence,
            delivery=Delivery(pause=times.loop),
        ),
        "mock-many": Scenario(
            "counts to 2,000 without a pause, one event a number", scripts.numbered(events or MANY_EVENTS)
        ),
        "mock-cache": Scenario("echoes; has context caches, and caches nothing by itself"),
        "mock-slow": Scenario(
            "sends 5 events 0.3 s apart, the headers and the first at once",
            lambda request: scripts.story(request)[:1],
            _in_two,
            delivery=Delivery(pause=times.slow),
        ),
        "mock-slow-headers": Scenario("waits 1 s before the headers", delivery=Delivery(before_headers=times.headers)),
    }


def _breaking(times: Times) -> dict[str, Scenario]:
    return {
        "mock-cut": Scenario(
            "closes the connection after 3 events, or in the middle of the JSON body",
            scripts.story,
            delivery=Delivery("cut", 3),
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
        "mock-error-in-stream": Scenario(
            "breaks off after 2 events with an error object; 500 without streaming",
            scripts.story,
            breaks_off=failures.BROKEN,
        ),
    }


def _failing() -> dict[str, Scenario]:
    return {
        "mock-400": Scenario("answers 400 invalid_request_error", failure=failures.BAD_REQUEST),
        "mock-400-filter": Scenario("answers 400 content_filter", failure=failures.FILTERED),
        "mock-401": Scenario("answers 401 invalid_authentication_error", failure=failures.FOREIGN_KEY),
        "mock-429": Scenario("answers 429 engine_overloaded_error with Retry-After", failure=failures.OVERLOADED),
        "mock-429-quota": Scenario("answers 429 exceeded_current_quota_error", failure=failures.NO_QUOTA),
        "mock-500": Scenario("answers 500 server_error", failure=failures.BROKEN),
        "mock-504-html": Scenario("answers 504 with a page of HTML", failure=failures.GATEWAY_TIMEOUT),
    }


def by_sentence(text: str) -> list[str]:
    """Split a text after each sentence."""
    return _SENTENCE.findall(text)


def _in_two(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]] if text else []
