"""Merging as a property: an answer cut into deltas in any way is merged back."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from moonpalace_addons.wire.chat.merging import Merger
from moonpalace_addons.wire.sse import Decoder
from tests.wire.merging import merge_events

type Json = dict[str, Any]
type Keyed = str
"""How the pieces of tool calls are identified: by index, by id, or by id while the index is always 0."""

words = st.text(max_size=12)
nullable = st.none() | words
extras = st.dictionaries(
    st.sampled_from(["x", "y", "prefix"]),
    st.none() | st.integers() | words | st.lists(st.integers(), max_size=2),
    max_size=2,
)
distinct = st.lists(st.sampled_from("一二三四五六七"), unique=True, max_size=7).map("".join)
"""Texts whose pieces never begin with one another: in unknown fields these would look like a repetition."""
identifier = st.text("abc:0-", min_size=1, max_size=6)


@st.composite
def completions(draw: st.DrawFn) -> Json:
    """Draw an answer as the API gives it without streaming."""

    def tool_call(number: int) -> Json:
        kind, key = draw(st.sampled_from([("function", "arguments"), ("custom", "input")]))
        body = {"name": f"{draw(identifier)}{number}", key: draw(words)}
        return {"id": f"{draw(identifier)}{number}", "type": kind, kind: body, **draw(extras)}

    def choice(index: int) -> Json:
        message: Json = {"role": "assistant", "content": draw(nullable), **draw(extras)}
        for name in draw(st.sets(st.sampled_from(["reasoning_content", "refusal"]))):
            message[name] = draw(nullable)
        if draw(st.booleans()):
            message["tool_calls"] = [tool_call(number) for number in range(draw(st.integers(1, 3)))]
        if draw(st.booleans()):
            message["function_call"] = {"name": draw(identifier), "arguments": draw(words)}
        message |= draw(st.dictionaries(st.sampled_from(["thoughts"]), distinct))
        if draw(st.booleans()):
            texts = enumerate(draw(st.lists(words, min_size=1, max_size=3)))
            message["reasoning_details"] = [{"type": "t", "index": place, "text": text} for place, text in texts]
            message["images"] = [{"url": url} for url in draw(st.lists(words, min_size=1, max_size=3, unique=True))]
            message["audio"] = {"id": draw(identifier), "transcript": draw(words), "expires_at": draw(st.integers())}
        made: Json = {"index": index, "message": message, "finish_reason": draw(st.sampled_from(["stop", "length"]))}
        if draw(st.booleans()):
            made["logprobs"] = draw(
                st.none() | st.fixed_dictionaries({"content": st.lists(st.integers()), "refusal": st.none()})
            )
        return {**made, **draw(extras)}

    usage = draw(st.dictionaries(st.sampled_from(["prompt_tokens", "cached_tokens"]), st.integers(0, 99), min_size=1))
    top = {
        "id": draw(identifier),
        "object": "chat.completion",
        "created": draw(st.integers(0, 9)),
        "model": draw(identifier),
    }
    return {
        **top,
        "choices": [choice(index) for index in range(draw(st.integers(1, 3)))],
        "usage": usage,
        **draw(extras),
    }


def cut_text(draw: st.DrawFn, text: str) -> list[str]:
    edges = [0, *sorted(draw(st.lists(st.integers(0, len(text)), max_size=4))), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def cut_message(draw: st.DrawFn, message: Json, keyed: Keyed) -> list[list[Json]]:
    """Cut a message into lanes of deltas; order only matters within a lane."""
    lanes: list[list[Json]] = []
    for name, value in message.items():
        if name == "tool_calls":
            for index, made in enumerate(value):
                key = {"index": index if keyed == "index" else 0} if keyed != "id" else {}
                key |= {} if keyed == "index" else {"id": made["id"]}
                kind, text = ("function", "arguments") if "function" in made else ("custom", "input")
                pieces: list[Json] = [{**key, kind: {text: part}} for part in cut_text(draw, made[kind][text])]
                pieces[0] = {**made, **key, kind: {**made[kind], **pieces[0][kind]}}
                lanes.append([{"tool_calls": [piece]} for piece in pieces])
        elif name == "reasoning_details":
            for element in value:
                parts = [{"index": element["index"], "text": part} for part in cut_text(draw, element["text"])]
                lanes.append([{name: [piece]} for piece in [element | parts[0], *parts[1:]]])
        elif name == "images":
            lanes.append([{name: [element]} for element in value])
        elif name == "audio":
            parts = [{"transcript": part} for part in cut_text(draw, value["transcript"])]
            lanes.append([{name: piece} for piece in [{"id": value["id"]} | parts[0], *parts[1:]]])
            lanes[-1].append({name: {"expires_at": value["expires_at"]}})
        elif name == "function_call":
            parts = [{"function_call": {"arguments": part}} for part in cut_text(draw, value["arguments"])]
            parts[0]["function_call"]["name"] = value["name"]
            lanes.append(list(parts))
        elif name in ("content", "reasoning_content", "refusal", "thoughts") and value is not None:
            lanes.append([{name: part} for part in cut_text(draw, value)])
        else:
            lanes.append([{name: value}])
    return lanes


def interleave(draw: st.DrawFn, lanes: list[list[Json]]) -> list[Json]:
    """Mix the lanes: each keeps its order, and they begin one after the other."""
    random = draw(st.randoms(use_true_random=False))
    waiting = [list(lane) for lane in lanes]
    begun: list[list[Json]] = []
    mixed = []
    while waiting or begun:
        if waiting and (not begun or random.random() < 0.5):
            begun.append(waiting.pop(0))
            lane = begun[-1]
        else:
            lane = random.choice(begun)
        mixed.append(lane.pop(0))
        begun = [lane for lane in begun if lane]
    return mixed


@st.composite
def streams(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    """Draw an answer and the chunks of an equivalent stream."""
    answer = draw(completions())
    keyed = draw(st.sampled_from(["index", "id", "zero"]))
    head = {key: value for key, value in answer.items() if key not in ("choices", "usage")} | {
        "object": "chat.completion.chunk"
    }
    lanes = []
    for choice in answer["choices"]:
        index = choice["index"]
        deltas = interleave(draw, cut_message(draw, choice["message"], keyed))
        lane = [{"index": index, "delta": piece} for piece in deltas]
        tokens = (choice.get("logprobs") or {}).get("content")
        if tokens:
            half = draw(st.integers(0, len(tokens)))
            lane[0]["logprobs"] = {"content": tokens[:half], "refusal": None}
            lane.append({"index": index, "delta": {}, "logprobs": {"content": tokens[half:], "refusal": None}})
        elif "logprobs" in choice:
            lane[0]["logprobs"] = choice["logprobs"]
        rest = {key: value for key, value in choice.items() if key not in ("message", "logprobs")}
        lanes.append([*lane, {**rest, "delta": draw(st.sampled_from([{}, None]))}])
    pieces = interleave(draw, lanes)
    place = draw(st.sampled_from(["choice", "top", "both"]))
    if place != "top":
        pieces[-1] = {**pieces[-1], "usage": answer["usage"]}
    chunks = [{**head, "choices": [piece]} for piece in pieces]
    return answer, chunks if place == "choice" else [*chunks, {**head, "choices": [], "usage": answer["usage"]}]


@given(streams())
@settings(max_examples=100)
def test_a_completion_cut_into_deltas_is_merged_back(stream: tuple[Json, list[Json]]) -> None:
    """However an answer is cut into deltas and its parts are mixed, merging gives the answer back."""
    answer, chunks = stream
    merger = Merger()
    for chunk in chunks:
        merger.feed(chunk)
    assert merger.result() == answer


@given(streams(), st.sampled_from(["\n", "\r", "\r\n"]), st.booleans())
@settings(max_examples=30)
def test_the_same_through_the_wire(stream: tuple[Json, list[Json]], line_end: str, escaped: bool) -> None:
    """The same holds for the bytes of the stream, with heartbeats between, fed byte by byte."""
    answer, chunks = stream
    lines = [f": hb{line_end * 2}data: {json.dumps(chunk, ensure_ascii=escaped)}{line_end * 2}" for chunk in chunks]
    raw = "".join([*lines, "data: [DONE]", line_end * 2]).encode()
    decoder = Decoder()
    events = [event for i in range(len(raw)) for event in decoder.feed(raw[i : i + 1])]
    assert merge_events(events + decoder.close()) == answer
