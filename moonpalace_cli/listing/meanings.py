"""What each column of `mpal list`, and each field of predicates, means: the page of `mpal help columns`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from moonpalace_cli.predicate.fields import FIELDS, MILLISECOND, Field

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "The call": {
        "id": "number of the row, for --id",
        "uuid": "what no other row of any store has",
        "requested_at": "when the request began; local time",
        "method": "GET, POST …",
        "url": "the address that was called: endpoint, path and query",
        "endpoint": "the API that the call was forwarded to",
        "path": "path of the address",
        "query": "query of the address",
        "model": "the model that answered, else the one asked for",
        "model_requested": "the model asked for",
        "model_answered": "the model that the answer names",
        "stream": "whether the answer came as a stream, or was to",
        "coerced": "whether --force-stream made it one",
        "changes": "what the proxy changed of the request on its way",
        "key_fingerprint": "tells two API keys apart",
        "client_request_id": "X-Request-Id of the client",
        "request_content_type": "media type of the request",
        "request_bytes": "size of the request's body in bytes",
        "request_header": "headers of the request",
        "request_body": "body of the request",
    },
    "The answer": {
        "status": "status code; tables show the state of a call without a whole answer, and 200 error",
        "state": "how the call ended: completed, upstream_failed, client_disconnected …, or in_flight",
        "error": "why the call failed: kind and message, at least the state",
        "error_kind": "the kind of failure, or the type of the error that the API gave",
        "error_message": "its message",
        "warnings": "what was odd about the answer",
        "finish_reason": "why the model stopped: stop, length, tool_calls …; of several choices the first but stop",
        "chatcmpl": "id of the completion, message or response, for --chatcmpl",
        "request_id": "Msh-Request-Id, for --requestid",
        "user_id": "Msh-Uid, the account",
        "group_id": "Msh-Gid, its group",
        "content_type": "media type of the answer",
        "response_bytes": "size of the answer's body in bytes",
        "response_header": "headers of the answer",
        "response_body": "body of the answer, of a stream what its events merge to",
        "text": "words in either body, for text ~ 'words' alone; no column",
    },
    "Tokens": {
        "prompt_tokens": "tokens of the prompt, cached ones included",
        "completion_tokens": "tokens of the answer, reasoning included",
        "tokens": "both together",
        "cached_tokens": "tokens of the prompt that the API had cached",
        "reasoning_tokens": "tokens of the answer that were reasoning",
        "cache_outcome": "what --auto-cache came to: hit, miss, created, refused, unused",
        "cache_tokens": "tokens of the context cache that was used",
        "context_cache_id": "id of the context cache that was used",
    },
    "Times": {
        "latency": "from the request to the end of the answer",
        "ttft": "time to the first token of a stream",
        "time_to_first_token": "the same",
        "time_to_first_visible_token": "time to the first token that is no reasoning",
        "time_to_headers": "time to the headers of the answer",
        "tpot": "time for each token after the first",
        "time_per_output_token": "the same",
        "otps": "output tokens a second",
        "longest_stall": "the longest gap between two chunks of a stream, or between the last and the end",
        "gap_p50": "the gap that half of the gaps do not exceed",
        "gap_p90": "that 90 percent do not exceed",
        "gap_p99": "that 99 percent do not exceed",
        "server_timing": "Server-Timing, what the API says it took, in milliseconds",
        "overhead": "time spent in MoonPalace itself",
    },
    "Labels": {
        "category": "goodcase or badcase",
        "tags": "tags that mpal label or export --tag gave",
        "note": "the note",
    },
}
"""A name for each thing; whatever other names it has stand beside it."""

KINDS = {"moment": "time", "truth": "true or false", "json": "JSON, with paths into it", "set": "set"}


def columns_page() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Give sections: the title, and for each thing its name and a line on it."""
    for title, meanings in MEANINGS.items():
        yield title, [(name, line(name, meaning)) for name, meaning in meanings.items()]


def line(name: str, meaning: str) -> str:
    """Return what a thing is, what it holds, and its other names."""
    others = [other for other in same(FIELDS[name]) if other != name]
    facts = [text for text in (holds(FIELDS[name]), f"also {', '.join(others)}" if others else "") if text]
    return f"{meaning} ({'; '.join(facts)})" if facts else meaning


def same(field: Field) -> list[str]:
    """Return all names of a field."""
    return [name for name, other in FIELDS.items() if other == field]


def holds(field: Field) -> str:
    """Return the unit of a duration, or what a field holds if that is neither text nor a number."""
    if field.unit is not None:
        return "ms" if field.unit == MILLISECOND else "ns"
    return KINDS.get(field.kind, "")
