"""Rules that determine why a call ended as it did: evidence from the store, then advice.

Each rule looks for one cause. A rule that cannot be certain only says what is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from moonpalace_addons.store.read.outcomes import (
    AT_LIMIT,
    NO_END,
    NO_REASON,
    cut_by,
    lacks_version,
    unknown_endpoint,
    words_of,
)
from moonpalace_addons.store.state import State
from moonpalace_addons.views.call_line import amount
from moonpalace_addons.wire.json_value import parse
from moonpalace_addons.wire.loops.repeat import Detector
from moonpalace_addons.wire.status import FIRST_ERROR, status_line
from moonpalace_cli.views.context_caches.causes import LONG_PROMPT, Cause
from moonpalace_cli.views.showing.connection_faults import (
    client_left,
    died,
    gateway,
    no_api,
    server_error,
    stalled,
    timed_out,
    unreached,
)
from moonpalace_cli.views.showing.facts import Facts
from moonpalace_cli.views.showing.phrases import NOTHING, Phrase, phrase
from moonpalace_cli.views.showing.reason import Reason
from moonpalace_cli.views.showing.request_faults import broken_body, too_large, unmatched_tools

SECOND = 1_000_000_000
REASONING_SHARE = 0.9
LOOP_THRESHOLD, LOOP_MIN_LENGTH = 0.5, 100
"""The defaults of --detect-repeat."""
EXCERPT = 60
AGAIN = phrase("send it again, and compare")
OK, NOT_FOUND = 200, 404
BY_ITSELF = ("stop", "end_turn")
"""Finish reasons of answers that the model ended itself with text rather than tool calls."""
FILTERED = ("content_filter", "refusal", "safety")
"""Finish reasons of answers that a filter stopped."""
MOMENT = phrase("wait a moment")
HOSTS = {"https://api.moonshot.cn": "https://api.moonshot.ai", "https://api.moonshot.ai": "https://api.moonshot.cn"}
CONTEXT_WORDS = ("token limit", "context length", "context window", "too long")


def reasons(facts: Facts) -> Iterator[Reason]:
    """Yield the causes of the outcome, most important first."""
    return (cause for rule in RULES if (cause := rule(facts)) is not None)


def truncated(facts: Facts) -> Reason | None:
    """Find an answer that reached the limit of its request."""
    call = facts.call
    if call.finish_reason not in AT_LIMIT or cut_by(call) == "cut by a full context":
        return None
    if facts.limit is None and looping(facts):
        return None  # a loop ends at any limit: a larger one would only prolong it
    count = call.completion_tokens
    used = phrase("its limit") if count is None else phrase("{count} tokens", count=count)
    limit = phrase("; the request allows {limit}", limit=facts.limit) if facts.limit else NOTHING
    spent = call.reasoning_tokens or 0
    if spent and spent >= REASONING_SHARE * (count or spent):
        return Reason(
            phrase(
                "the answer was cut at {used}, and {spent} of them were reasoning{limit}",
                used=used,
                spent=spent,
                limit=limit,
            ),
            phrase("raise max_completion_tokens, which counts reasoning too, or ask for less thinking"),
        )
    return Reason(
        phrase("the answer was cut at {used}{limit}", used=used, limit=limit),
        phrase("raise max_completion_tokens (max_tokens), or leave it out")
        if facts.limit
        else phrase("set max_completion_tokens to more than that: the request names no limit, and the API has one"),
    )


def context_full(facts: Facts) -> Reason | None:
    """Find a prompt that fills or exceeds the model's context."""
    call = facts.call
    message = (call.error_message or "").lower()
    refused = call.status_code in (400, 413) and any(words in message for words in CONTEXT_WORDS)
    if not refused and cut_by(call) != "cut by a full context":
        return None
    evidence = phrase("the API said: {message}", message=call.error_message)
    return Reason(
        evidence if refused else phrase("prompt and answer together fill the model's context"),
        phrase("shorten the history or the tools' results, or use a model with a larger context"),
    )


def looping(facts: Facts) -> Reason | None:
    """Find an answer that repeats itself."""
    if facts.call.state is State.REPEAT_INTERRUPTED:
        return Reason(
            phrase("MoonPalace ended the answer: {why}", why=facts.call.error_message or phrase("it repeated itself")),
            phrase(
                "try again, with a higher temperature or a frequency_penalty; --no-detect-repeat lets such answers run"
            ),
        )
    for part in facts.conversation.answer_parts:
        if part.kind in ("text", "reasoning"):
            loop = Detector(LOOP_THRESHOLD, LOOP_MIN_LENGTH).feed(part.text)
            if loop is not None:
                return Reason(
                    phrase(
                        "the answer repeats itself from character {position} on: {sample}",
                        position=f"{loop.position:,}",
                        sample=repr(excerpt(loop.sample)),
                    ),
                    phrase("mpal start --detect-repeat ends such answers early; a frequency_penalty may prevent them"),
                )
    return None


def wrong_key(facts: Facts) -> Reason | None:
    """Find a key that the endpoint does not accept."""
    call = facts.call
    if call.status_code != 401:
        return None
    endpoint = call.endpoint
    if other := facts.works_at():
        return Reason(
            phrase("401 from {endpoint}, but {other} accepted the same key", endpoint=endpoint, other=other),
            phrase("use it there: --endpoint {other}", other=other),
        )
    if call.key_fingerprint is None:
        return Reason(
            phrase("401 from {endpoint}: the request had no key", endpoint=endpoint),
            phrase("set the client's api_key, or start with --key"),
        )
    other = HOSTS.get(endpoint)
    keys = "; keys of {endpoint} and {other} are not interchangeable: try --endpoint {other}"
    return Reason(
        phrase("401 from {endpoint}: it does not know this key", endpoint=endpoint),
        phrase(
            "check the key for a typing error{keys}",
            keys=phrase(keys, endpoint=endpoint, other=other) if other else NOTHING,
        ),
    )


def rate_limited(facts: Facts) -> Reason | None:
    """Find a call that was refused because of a rate limit or an empty account."""
    call = facts.call
    if call.status_code != 429:
        return None
    kind = call.error_kind or ""
    if "quota" in kind:
        return Reason(
            phrase("429 {kind}: {message}", kind=words_of(kind), message=call.error_message),
            phrase("top up the account; trying again does not help"),
        )
    is_known = call.retry_after is not None
    wait = phrase("wait {seconds} s", seconds=f"{(call.retry_after or 0) / SECOND:g}") if is_known else MOMENT
    if "overloaded" in kind:
        return Reason(
            phrase("429: the API is overloaded, which is not your fault"), phrase("{wait}, then try again", wait=wait)
        )
    return Reason(
        phrase(
            "429 {kind}; {count} calls with this key began in the minute before",
            kind=words_of(kind) or "Too Many Requests",
            count=facts.minute_before(),
        ),
        phrase("{wait}, then try again; send fewer calls at a time", wait=wait),
    )


def refused(facts: Facts) -> Reason | None:
    """Find a request that the API refused with an explanation."""
    call = facts.call
    code = call.status_code or 0
    if not FIRST_ERROR <= code < 500 or code in (401, 413, 429) or context_full(facts):
        return None
    if (name := unknown_endpoint(call)) is not None and code == NOT_FOUND:
        return Reason(
            phrase("404: MoonPalace has no endpoint called {name}", name=name),
            phrase(
                "name one that config.yaml has (mpal config lists them), or take /@NAME out of the client's base_url"
            ),
        )
    if lacks_version(call):
        return Reason(
            phrase("404: the path {path} does not begin with /v1", path=call.path),
            phrase("end the client's base_url in /v1, so that it calls /v1{path}", path=call.path),
        )
    named = f"{code} {words_of(call.error_kind)}: {call.error_message}"
    evidence = named if call.error_message else status_line(code)
    if call.error_kind == "content_filter":
        return Reason(
            phrase("{said}", said=evidence), phrase("change the wording of the prompt; the API's filter refused it")
        )
    return Reason(
        phrase("the API refused the request: {said}", said=evidence),
        phrase("mpal inspect {id} --print-request shows what was sent", id=call.id),
    )


def filtered(facts: Facts) -> Reason | None:
    """Find an answer that a filter stopped."""
    reason = facts.call.finish_reason
    if reason not in FILTERED:
        return None
    return Reason(
        phrase("a filter of the API stopped the answer (finish reason {reason})", reason=reason),
        phrase("change the wording of the prompt; what has come of the answer is stored"),
    )


def unfinished(facts: Facts) -> Reason | None:
    """Find an answer without a finish reason, and a stream that ended before it or before its first byte."""
    call = facts.call
    if cut_by(call) == NO_REASON:
        return Reason(phrase("the answer ended without a finish reason: it may be incomplete"), AGAIN)
    if call.state is not State.COMPLETED or call.finish_reason or call.holds_error:
        return None
    if call.is_stream and call.status_code == OK and call.response_bytes == 0:
        return Reason(phrase("the stream is empty: the API ended it before its first byte"), AGAIN)
    ended = next((warning for warning in call.warnings if warning.startswith(NO_END)), None)
    rest = (ended or "").removeprefix(NO_END).strip()
    return Reason(phrase("the stream ended without {rest}", rest=rest), AGAIN) if ended else None


def empty(facts: Facts) -> Reason | None:
    """Find a complete answer without text or tool calls."""
    call, parts = facts.call, facts.conversation.answer_parts
    if call.finish_reason not in BY_ITSELF or call.holds_error or not facts.conversation.answer_turns:
        return None
    if any(part.text for part in parts if part.kind != "reasoning"):
        return None
    has_thought = any(part.text for part in parts)
    return Reason(
        phrase("the answer has only reasoning, though the model ended it by itself")
        if has_thought
        else phrase("the answer is empty, though the model ended it by itself"),
        phrase("look at the last messages: the model may have seen nothing to answer; {again}", again=AGAIN),
    )


def broken_arguments(facts: Facts) -> Reason | None:
    """Find a tool call whose arguments are not JSON."""
    for part in facts.conversation.answer_parts:
        if part.kind == "call" and part.text and not isinstance(parse(part.text), dict | list):
            return Reason(
                phrase(
                    "the arguments of the tool call {name} are not JSON: {text}",
                    name=part.label,
                    text=repr(excerpt(part.text)),
                ),
                phrase("return the error to the model as the tool's result; if the answer was cut, raise its limit"),
            )
    return None


def cache_lost(facts: Facts) -> Reason | None:
    """Find a prompt of which nothing was cached although it continues another one."""
    call = facts.call
    if (call.prompt_tokens or 0) < LONG_PROMPT or call.cached_tokens:
        return None
    earlier = facts.earlier()
    if earlier is None or (advice := cache_advice(earlier.cause, call.id)) is None:
        return None
    count, place = amount(call.prompt_tokens), earlier.parts_at if earlier.cause == "changed" else None
    parts = phrase(", from which it differs in message {number}", number=place) if place else NOTHING
    if earlier.is_only_alike:
        evidence = phrase(
            "none of its {count} prompt tokens were cached, though its prompt is nearly that of call {call}{parts}",
            count=count,
            call=earlier.row_id,
            parts=parts,
        )
    else:
        evidence = phrase(
            "none of its {count} prompt tokens were cached, though it continues call {call}{parts}",
            count=count,
            call=earlier.row_id,
            parts=parts,
        )
    return Reason(evidence, advice)


def cache_advice(cause: Cause, row_id: int) -> Phrase | None:
    """Return advice against a lost cache; None if nothing was lost or the cause is unknown."""
    match cause:
        case "changed":
            return phrase(
                "keep the beginning of prompts unchanged; mpal cache why {id} shows the difference", id=row_id
            )
        case "not ended":
            return phrase("that one was in flight: let one call end before others with the same beginning are sent")
        case "expired":
            return phrase("the cache has probably expired: send calls that continue a conversation sooner")
        case "lost":
            return phrase(
                "the prompt is not the cause; try --cache-key-hint, which helps calls to reach the same cache"
            )
        case "unmarked":
            return phrase("mark the beginning of prompts with cache_control: without it this API caches nothing")
        case _:
            return None


def excerpt(text: str) -> str:
    """Return the beginning of a text in one line."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else line[:EXCERPT] + "…"


RULES: tuple[Callable[[Facts], Reason | None], ...] = (
    wrong_key,
    rate_limited,
    context_full,
    looping,
    truncated,
    broken_body,
    unmatched_tools,
    too_large,
    refused,
    filtered,
    no_api,
    unreached,
    gateway,
    client_left,
    timed_out,
    died,
    server_error,
    unfinished,
    empty,
    broken_arguments,
    stalled,
    cache_lost,
)
"""The rules in the order in which they are reported."""
