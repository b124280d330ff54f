"""Where the prompts of two calls diverge."""

import json
from typing import Any

import pytest

from moonpalace_cli.views.context_caches.choosing import choose
from moonpalace_cli.views.context_caches.prefix_comparison import blocks, compare, kinship
from moonpalace_cli.views.context_caches.prompts import Request, read_request


def request(*texts: str, model: str = "k", tools: list[Any] | None = None, **more: Any) -> Request:
    """Return a request with a message for each text; the first is the instructions."""
    messages = [{"role": "user" if number else "system", "content": text} for number, text in enumerate(texts)]
    result = read_request(json.dumps({"model": model, "messages": messages, "tools": tools, **more}).encode())
    assert result is not None
    return result


def message(text: str, role: str = "system") -> str:
    """Return a message as JSON."""
    return json.dumps({"role": role, "content": text})


def test_a_conversation_that_goes_on() -> None:
    """A prompt that begins with the earlier one has not diverged."""
    result = compare(request("s", "a"), request("s", "a", "b", "c"))
    assert (result.same_messages, result.shared_messages, result.divergence, result.is_prefix) == (2, 2, None, True)
    assert result.same_bytes == request("s", "a").size


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (request("t", "a", "b"), (1, "changed", '…: "system", "content": "s"}', '…: "system", "content": "t"}')),
        (request("s", "A", "b"), (2, "changed", '…e": "user", "content": "a"}', '…e": "user", "content": "A"}')),
        (request("s", "b"), (2, "left out", message("a", "user"), "")),
        (request("s", "x", "a", "b"), (2, "put in", "", message("x", "user"))),
    ],
)
def test_divergence(later: Request, expected: tuple[int, str, str, str]) -> None:
    """The first message that differs is named, and whether it was changed, inserted or removed."""
    found = compare(request("s", "a", "b"), later).divergence
    assert found is not None
    assert (found.number, found.kind, found.before, found.after) == expected


def test_the_place_of_a_change() -> None:
    """The change is shown with some context, in one line, however long the message is."""
    text = "x" * 200 + "it is 10:32:01\n" + "y" * 200
    found = compare(request(text), request(text.replace("01", "07"))).divergence
    assert found is not None
    assert found.offset == json.dumps({"role": "system", "content": text}).index("1\\n")
    assert "it is 10:32:01" in found.before
    assert "it is 10:32:07" in found.after
    assert (found.before[0], found.before[-1], found.role) == ("…", "…", "system")
    assert len(found.before) < 100


def test_a_change_inside_a_character() -> None:
    """A change within a character's bytes is shown whole."""
    found = compare(
        Request("k", (), ('{"content":"月亮"}'.encode(),), {}), Request("k", (), ('{"content":"月京"}'.encode(),), {})
    ).divergence
    assert found is not None
    assert (found.before, found.after) == ('{"content":"月亮"}', '{"content":"月京"}')


def test_other_differences() -> None:
    """Tools, model and other parameters are distinguished; parameters of the transport are ignored."""
    one = request("s", tools=[{"a": 1}, {"b": 2}], temperature=0.3, stream=True)
    other = request("s", "t", model="m", tools=[{"a": 1}, {"b": 3}], temperature=0.6, n=1, stream=False)
    result = compare(one, other)
    assert (result.same_tools, result.same_model, result.is_prefix) == (False, False, False)
    assert result.parameters == ("n unset -> 1", "temperature 0.3 -> 0.6")
    assert result.same_bytes == len('{"a": 1}')


def test_kinship() -> None:
    """A call continues the one with the most common messages, even if the first one changed."""
    later = request("now 2", "a", "b", "c")
    others = [request("now 2", "x"), request("now 1", "a", "b"), request("now 1", "a"), request("z")]
    assert [kinship(other, later) for other in others] == [(1, 1), (2, 0), (1, 0), (0, 0)]


NOW = ("now", "a", "b", "c", "d")


@pytest.mark.parametrize(
    ("newest_first", "chosen"),
    [
        ([request(*NOW[:3], model="other"), request(*NOW[:3])], 1),
        ([request(*NOW[:4], model="other"), request(*NOW[:2])], 1),
        ([request(*NOW[:4], model="other"), request(*NOW[:1])], 0),
        ([request(*NOW[:4], model="other"), request("then", *NOW[1:3])], 0),
        ([request(*NOW[:2]), request(*NOW[:3], model="other"), request(*NOW[:3])], 2),
        ([request("then", *NOW[1:4]), request(*NOW[:2])], 0),
        ([request(*NOW[:3]), request(*NOW[:3])], 0),
        ([request(*NOW[:3], model="other"), request(*NOW[:3], model="third")], 0),
        ([request("z"), request("y", model="other")], None),
        ([], None),
    ],
)
def test_choosing(newest_first: list[Request], chosen: int | None) -> None:
    """The call with the most in common is chosen, preferably for the same model, if the conversation began with it."""
    result = choose(request(*NOW), enumerate(newest_first))
    assert result == (None if chosen is None else (chosen, newest_first[chosen]))


def test_choosing_what_had_ended() -> None:
    """Of equal calls an ended one is chosen, and rather one that began the prompt than one in flight."""
    later, whole, start = request(*NOW), request(*NOW[:3]), request(NOW[0], "x")
    other = request(*NOW[:4], model="other")
    for calls, chosen in (([whole, whole], 1), ([whole, start], 1), ([other, whole], 1), ([whole, request("z")], 0)):
        result = choose(later, enumerate(calls), lambda number: number == 1)
        assert result is not None
        assert result[0] == chosen


def test_choosing_the_most_alike() -> None:
    """Without a common message, the most similar prompt is chosen, for the same model if possible."""
    rules = "".join(f"Rule {number}: be kind. " for number in range(200))
    later = request(f"Time: 483. {rules}", "plan")
    calls = [
        request(f"Time: 482. {rules}", "other", model="m"),
        request(f"You are an agent. {rules}", "trip"),
        request(f"Time: 476. {rules}", "city"),
        request(f"Time: 469. {rules}", "city"),
        request("Quite another text. " * 200, "plan B"),
    ]
    assert choose(later, enumerate(calls)) == (2, calls[2])
    assert choose(later, enumerate(calls[:1])) == (0, calls[0])
    assert choose(later, enumerate(calls[4:])) is None
    found = compare(calls[2], later).divergence
    assert found is not None
    assert (found.number, found.characters) == (1, 7)


def test_a_number_that_python_cannot_read() -> None:
    """A message with a number of too many digits has no role, and is still compared."""
    bodies = [f'{{"model":"k","messages":[{{"role":"user","content":{digit * 5000}}}]}}'.encode() for digit in "89"]
    one, other = (read_request(body) for body in bodies)
    assert one is not None
    assert other is not None
    found = compare(one, other).divergence
    assert found is not None
    assert (found.number, found.role, found.kind) == (1, "", "changed")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"model":"k","messages":[]}'])
def test_no_request(body: bytes) -> None:
    """Other requests have no prompt."""
    assert read_request(body) is None


@pytest.mark.parametrize(("tokens", "cached"), [(0, 0), (255, 0), (256, 256), (1000, 768)])
def test_blocks(tokens: int, cached: int) -> None:
    """Only whole blocks of 256 tokens can be cached."""
    assert blocks(tokens) == cached
