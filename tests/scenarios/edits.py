"""Changes to the JSON of answers: usage elsewhere, log probabilities, refusals, tool calls without an index."""

from collections.abc import Iterator

from moonpalace_cli.mock.chat_request import Json
from moonpalace_cli.mock.completions import Fields, by_word


def rows_of(chunk: Fields) -> list[Fields]:
    """Return the choices of a chunk or of an answer."""
    found = chunk["choices"]
    assert isinstance(found, list)
    return [row for row in found if isinstance(row, dict)]


def fields_of(value: Fields, name: str) -> Fields:
    """Return a member, which must be an object."""
    found = value[name]
    assert isinstance(found, dict)
    return found


def without_usage(chunks: list[Fields]) -> list[Fields]:
    """Remove usage from a stream."""
    for chunk in chunks:
        for row in rows_of(chunk):
            row.pop("usage", None)
    return [chunk for chunk in chunks if "usage" not in chunk]


def answer_without_usage(answer: Fields) -> Fields:
    """Remove usage from an answer."""
    return {name: value for name, value in answer.items() if name != "usage"}


def usage_twice(chunks: list[Fields]) -> list[Fields]:
    """Add the usage at top level to the last chunk that has a choice."""
    last = [chunk for chunk in chunks if chunk["choices"]][-1]
    last["usage"] = rows_of(last)[-1]["usage"]
    return chunks


def empty_choices(chunks: list[Fields]) -> list[Fields]:
    """Add two chunks with an empty list of choices."""
    return [{"choices": []}, *chunks[:2], {"choices": []}, *chunks[2:]]


def logprobs(chunks: list[Fields]) -> list[Fields]:
    """Add log probabilities to each piece of the content."""
    for row in (row for chunk in chunks for row in rows_of(chunk)):
        delta = fields_of(row, "delta")
        if "content" in delta and "role" not in delta:
            row["logprobs"] = {"content": [_logprob(str(delta["content"]))]}
    return chunks


def answer_with_logprobs(answer: Fields) -> Fields:
    """Add log probabilities to the content of an answer."""
    for row in rows_of(answer):
        row["logprobs"] = {"content": [_logprob(word) for word in by_word(str(fields_of(row, "message")["content"]))]}
    return answer


def refused(chunks: list[Fields]) -> list[Fields]:
    """Turn the content into a refusal."""
    for delta in (fields_of(row, "delta") for chunk in chunks for row in rows_of(chunk)):
        if "role" in delta:
            delta["content"] = None
        elif "content" in delta:
            delta["refusal"] = delta.pop("content")
    return chunks


def refused_answer(answer: Fields) -> Fields:
    """Turn the content of an answer into a refusal."""
    for message in (fields_of(row, "message") for row in rows_of(answer)):
        message["refusal"], message["content"] = message["content"], None
    return answer


def calls_without_index(chunks: list[Fields]) -> list[Fields]:
    """Identify tool calls only by id; the last piece of each follows the beginnings of all calls."""
    pieces = [(chunk, row, call) for chunk in chunks for row in rows_of(chunk) for call in _calls(row)]
    ids = {(row["index"], call["index"]): call["id"] for _, row, call in pieces if "id" in call}
    last = {(row["index"], call["index"]): id(chunk) for chunk, row, call in pieces}
    for _, row, call in pieces:
        call.setdefault("id", ids[row["index"], call.pop("index")])
        call.pop("index", None)
    late = [chunk for chunk in chunks if id(chunk) in last.values()]
    early = [chunk for chunk in chunks if id(chunk) not in last.values()]
    end = next((place for place, chunk in enumerate(early) if _finishes(chunk)), len(early))
    return [*early[:end], *late, *early[end:]]


def _calls(row: Fields) -> Iterator[Fields]:
    found: Json = fields_of(row, "delta").get("tool_calls")
    return (call for call in found if isinstance(call, dict)) if isinstance(found, list) else iter(())


def _finishes(chunk: Fields) -> bool:
    return not chunk["choices"] or any(row["finish_reason"] for row in rows_of(chunk))


def _logprob(word: str) -> Fields:
    """Return the entry for one token in a list of log probabilities."""
    return {"token": word, "logprob": -len(word) / 8, "bytes": list(word.encode("utf-8", "replace")), "toplogprobs": []}
