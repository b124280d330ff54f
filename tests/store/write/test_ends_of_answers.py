"""Tests of the state of calls whose answers broke off, or were left, at or after the last event."""

import json

import pytest
from msgspec import structs

from moonpalace_addons.store.tasks import ExchangeEnded, State
from moonpalace_addons.store.write import derive
from moonpalace_addons.wire.websocket_events import CLIENT, SERVER, as_event
from tests.store.write.answered import DELTA, received, stream
from tests.units import outcome


@pytest.mark.parametrize(
    ("state", "warnings"), [(State.COMPLETED, [derive.CUT_WARNING]), (State.UPSTREAM_FAILED, None)]
)
def test_a_stream_that_ends_within_an_event(state: State, warnings: list[str] | None) -> None:
    """A stream that ended cleanly but without its last blank line is marked, unlike one that broke off."""
    body = f"data: {DELTA % ('a', 'null')}\n\ndata: {DELTA % ('', '"stop"')}".encode()
    ended = ExchangeEnded(uuid="u", at=9_000_000, state=state, overhead=7)
    columns = outcome(ended, received(body, "text/event-stream"), {"stream": True}).columns
    assert columns["warnings"] == (None if warnings is None else json.dumps(warnings))


@pytest.mark.parametrize(
    ("unsent", "said"),
    [
        (0, "nothing came from upstream for the last 3.0 s"),
        (700, "the client took nothing more for the last 3.0 s, with 700 bytes waiting for it"),
    ],
)
def test_the_silence_at_the_end_has_a_side(unsent: int, said: str) -> None:
    """If a stream was silent before its end, the mark names the side; a short silence is not marked."""
    for seconds, warnings in ((3, [said]), (0.9, None)):
        ended = structs.replace(LEFT, at=2_000_000 + int(seconds * 1e9), unsent=unsent)
        columns = outcome(ended, stream(DELTA % ("a", "null")), {}).columns
        assert columns["warnings"] == (None if warnings is None else json.dumps(warnings))
        assert columns["longest_stall"] == seconds * 1e9


@pytest.mark.parametrize("body", [b"", as_event(b"a", CLIENT), as_event(b"a", SERVER)])
def test_a_websocket_is_not_silent_between_its_own_messages(body: bytes) -> None:
    """What passed in its calls is with these: its row knows of no stall, unlike the row of such a call."""
    ended = structs.replace(LEFT, at=5_000_000_000, state=State.COMPLETED, error_kind=None, error_message=None)
    connection = structs.replace(received(body, "text/event-stream"), status_code=101)
    columns = outcome(ended, connection, {}).columns
    assert (columns["is_stream"], columns["warnings"], columns["longest_stall"]) == (True, None, None)
    assert columns["time_to_headers"] == connection.at
    within = structs.replace(stream(DELTA % ("a", "null")), status_code=101)
    assert outcome(ended, within, {}).columns["longest_stall"]


USAGE = '{"id": "cmpl-1", "choices": [], "usage": {"completion_tokens": 1}}'
ERROR = '{"error": {"type": "engine_overloaded_error", "message": "busy"}}'
LEFT = ExchangeEnded(
    uuid="u", at=9, state=State.CLIENT_DISCONNECTED, error_kind="client_disconnected", error_message="Client left."
)


@pytest.mark.parametrize(
    ("data", "coerced", "state"),
    [
        ([DELTA % ("a", '"stop"'), "[DONE]"], False, State.COMPLETED),
        ([DELTA % ("a", '"stop"'), "[DONE]"], True, State.CLIENT_DISCONNECTED),
        ([DELTA % ("a", '"stop"')], False, State.CLIENT_DISCONNECTED),
        ([DELTA % ("a", '"stop"'), USAGE], False, State.COMPLETED),
        ([DELTA % ("a", "null"), USAGE], False, State.CLIENT_DISCONNECTED),
        (['{"type": "message_delta"}', '{"type": "message_stop"}'], False, State.COMPLETED),
        (['{"type": "response.completed", "response": {}}'], False, State.COMPLETED),
        (['{"type": "message_delta"}'], False, State.CLIENT_DISCONNECTED),
        ([], False, State.CLIENT_DISCONNECTED),
    ],
)
def test_a_client_that_leaves_after_the_last_event(data: list[str], coerced: bool, state: State) -> None:
    """It had its answer and the call is completed, unless it waited for the merged answer of a forced stream."""
    columns = outcome(LEFT, stream(*data), {}, coerced=coerced).columns
    told = (None, None) if state is State.COMPLETED else (LEFT.error_kind, LEFT.error_message)
    assert (columns["state"], columns["error_kind"], columns["error_message"]) == (state, *told)


@pytest.mark.parametrize("before", [[], [DELTA % ("a", "null")]])
@pytest.mark.parametrize("kind", ["client_disconnected", "upstream_cut"])
def test_an_error_event_is_the_end_of_a_stream(before: list[str], kind: str) -> None:
    """SDKs and servers close the connection there: the call is completed, with the error."""
    ended = structs.replace(LEFT, error_kind=kind)
    columns = outcome(ended, stream(*before, ERROR), {}).columns
    assert (columns["state"], columns["error_kind"]) == (State.COMPLETED, "engine_overloaded_error")
    assert columns["error_message"] == "busy"


@pytest.mark.parametrize(
    ("state", "kind", "unsent", "is_whole"),
    [
        (State.UPSTREAM_FAILED, "upstream_cut", 0, True),
        (State.UPSTREAM_FAILED, "upstream_reset", 0, True),
        (State.TIMED_OUT, "upstream_timeout", 0, True),
        (State.PROXY_DIED, "proxy_stopped", 0, True),
        (State.PROXY_DIED, "proxy_stopped", 5, False),
        (State.CLIENT_DISCONNECTED, "client_disconnected", 5, False),
        (State.TIMED_OUT, "client_timeout", 5, False),
        (State.CLIENT_DISCONNECTED, "killed", 0, False),
        (State.PROXY_DIED, "proxy_died", 0, False),
    ],
)
def test_other_ends_after_the_last_event(state: State, kind: str, unsent: int, is_whole: bool) -> None:
    """A failure after the last event changes nothing, unless the client had not received that, or the user ended it."""
    ended = ExchangeEnded(uuid="u", at=9, state=state, error_kind=kind, error_message="m", unsent=unsent)
    columns = outcome(ended, stream(DELTA % ("a", '"stop"'), "[DONE]"), {}).columns
    assert (columns["state"], columns["error_kind"]) == ((State.COMPLETED, None) if is_whole else (state, kind))


@pytest.mark.parametrize("state", [state for state in State if state is not State.IN_FLIGHT])
def test_an_encoding_without_an_end_is_no_news_where_the_call_had_none(state: State) -> None:
    """A truncated encoding is reported if upstream ended the answer, but not if we or the client did."""
    ended = ExchangeEnded(uuid="u", at=9, state=state)
    warnings = [
        outcome(ended, received(b"{}", problem=problem), {}).columns["warnings"] for problem in ("truncated", "x")
    ]
    is_news = state in (State.COMPLETED, State.UPSTREAM_FAILED)
    told = ["the answer's encoding is broken: truncated", "the answer's encoding is broken: x"]
    assert warnings == [json.dumps(told[:1]) if is_news else None, json.dumps(told[1:])]
