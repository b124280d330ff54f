"""Answers of the endpoints whose streams are typed events: Anthropic's messages, and responses."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from moonpalace_cli.mock.answers import EVENTS_BEFORE_ERROR, Answer, as_one_wait, completion_headers, completion_of
from moonpalace_cli.mock.chat_request import ChatRequest
from moonpalace_cli.mock.completions import Completion, Cut, Fields
from moonpalace_cli.mock.failures import Failure
from moonpalace_cli.mock.scenarios import Scenario
from moonpalace_cli.mock.spelling import Piece


@dataclass(frozen=True, slots=True)
class Shape:
    """How an endpoint represents a completion (`whole`, or as the data of `events`) and an error, also in a stream."""

    whole: Callable[[Completion], Fields]
    events: Callable[[Completion, Cut], list[Fields]]
    failure: Callable[[str, Failure], Answer]
    error_event: Callable[[Failure], Fields]


def event_answer(request: ChatRequest, scenario: Scenario, shape: Shape) -> Answer:
    """Answer a request by the scenario."""
    failure = scenario.failure or (None if request.stream else scenario.breaks_off)
    if failure is not None:
        return shape.failure(request.digest, failure)
    completion = completion_of(request, scenario)
    headers = completion_headers(request, scenario, completion)
    events = shape.events(completion, scenario.cut)
    if not request.stream:
        body = json.dumps(shape.whole(completion), ensure_ascii=False).encode("utf-8", "replace")
        return Answer(200, headers, body, delivery=as_one_wait(scenario.delivery, len(events)))
    if scenario.breaks_off is not None:
        events = [*events[:EVENTS_BEFORE_ERROR], shape.error_event(scenario.breaks_off)]
    return Answer(200, headers, stream=pieces(events), total_events=len(events), delivery=scenario.delivery)


def pieces(events: Sequence[Fields]) -> Iterator[Piece]:
    """Write events as the API does."""
    for number, event in enumerate(events, 1):
        data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        yield Piece(f"event: {event['type']}\ndata: {data}\n\n".encode("utf-8", "replace"), number)
