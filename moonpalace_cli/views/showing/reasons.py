"""Rules that say why a call ended as it did: the evidence that is stored, then the advice.

Each rule looks for one cause. A rule that cannot be certain says what is known and leaves the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.store.read.outcomes import AT_LIMIT, NO_REASON, cut_by, lacks_version, unknown_endpoint, words_of
from moonpalace_addons.store.state import State
from moonpalace_addons.views.call_line import amount, seconds
from moonpalace_addons.wire.json_value import parse
from moonpalace_addons.wire.loops.repeat import Detector
from moonpalace_addons.wire.status import FIRST_ERROR, FIRST_REDIRECT, status_line
from moonpalace_cli.views.showing.facts import Facts
from moonpalace_cli.views.showing.reason import Reason
from moonpalace_cli.views.showing.request_faults import broken_body, too_large, unmatched_tools

SECOND = 1_000_000_000
LONG_SILENCE = 10 * SECOND
"""A silence that a user notices."""
GATEWAY_SILENCE = 25 * SECOND
"""A silence after which gateways cut connections: the shortest of their usual limits is 30 s."""
MIN_CACHED_PROMPT = 1024
"""Tokens of a prompt from which a lost cache is worth a word."""
REASONING_SHARE = 0.9
LOOP_THRESHOLD, LOOP_MIN_LENGTH = 0.5, 100
"""The defaults of --detect-repeat."""
EXCERPT = 60
AGAIN = "send it again, and compare"
ENDED_EARLY = "the stream ended without"
"""How warnings of streams without their last event begin."""
OK, NOT_FOUND = 200, 404
BY_ITSELF = ("stop", "end_turn")
"""Finish reasons of answers that a model ended by itself, with words rather than with calls."""
FILTERED = ("content_filter", "refusal", "safety")
"""Finish reasons of answers that a filter stopped."""
HOSTS = {"https://api.moonshot.cn": "https://api.moonshot.ai", "https://api.moonshot.ai": "https://api.moonshot.cn"}
CONTEXT_WORDS = ("token limit", "context length", "context window", "too long")
UNREACHED = {
    "upstream_refused": "check --endpoint, and whether something listens there",
    "upstream_unreachable": "check the network, and --upstream-proxy if there is a proxy in between",
    "upstream_unknown_host": "check the spelling of --endpoint, and the network",
    "upstream_tls": "check the certificate: --upstream-ca names the CA of a private endpoint",
    "upstream_proxy": "check --upstream-proxy and HTTPS_PROXY",
    "upstream_is_this_proxy": "set --endpoint to the API, not to this proxy",
}


def reasons(facts: Facts) -> Iterator[Reason]:
    """Yield what explains the call, the most important first."""
    return (found for rule in RULES if (found := rule(facts)) is not None)


def truncated(facts: Facts) -> Reason | None:
    """Find an answer that reached the limit of its request."""
    call = facts.call
    if call.finish_reason not in AT_LIMIT or cut_by(call) == "cut by a full context":
        return None
    used = "its limit" if call.completion_tokens is None else f"{call.completion_tokens} tokens"
    limit = f"; the request allows {facts.limit}" if facts.limit else ""
    spent = call.reasoning_tokens or 0
    if spent and spent >= REASONING_SHARE * (call.completion_tokens or spent):
        return Reason(
            f"the answer was cut at {used}, and {spent} of them were reasoning{limit}",
            "raise max_completion_tokens, which counts reasoning too, or ask for less thinking",
        )
    return Reason(f"the answer was cut at {used}{limit}", "raise max_completion_tokens (max_tokens), or leave it out")


def context_full(facts: Facts) -> Reason | None:
    """Find a prompt that fills or exceeds the model's context."""
    call = facts.call
    message = (call.error_message or "").lower()
    refused = call.status_code in (400, 413) and any(words in message for words in CONTEXT_WORDS)
    if not refused and cut_by(call) != "cut by a full context":
        return None
    what = f"the API said: {call.error_message}" if refused else "prompt and answer together fill the model's context"
    return Reason(what, "shorten the history or the tools' results, or use a model with a larger context")


def looping(facts: Facts) -> Reason | None:
    """Find an answer that repeats itself."""
    if facts.call.state is State.REPEAT_INTERRUPTED:
        return Reason(
            f"MoonPalace ended the answer: {facts.call.error_message or 'it repeated itself'}",
            "try again, with a higher temperature or a frequency_penalty; --no-detect-repeat lets such answers run",
        )
    for part in facts.said.answer_parts:
        if part.kind in ("text", "reasoning"):
            loop = Detector(LOOP_THRESHOLD, LOOP_MIN_LENGTH).feed(part.text)
            if loop is not None:
                return Reason(
                    f"the answer repeats itself from character {loop.position:,} on: {excerpt(loop.sample)!r}",
                    "mpal start --detect-repeat ends such answers early; a frequency_penalty may prevent them",
                )
    return None


def wrong_key(facts: Facts) -> Reason | None:
    """Find a key that the endpoint does not accept."""
    call = facts.call
    if call.status_code != 401:
        return None
    if other := facts.works_at():
        return Reason(
            f"401 from {call.endpoint}, but {other} accepted the same key", f"use it there: --endpoint {other}"
        )
    if call.key_fingerprint is None:
        return Reason(
            f"401 from {call.endpoint}: the request had no key", "set the client's api_key, or start with --key"
        )
    other = HOSTS.get(call.endpoint)
    keys = f"; keys of {call.endpoint} and {other} are not interchangeable: try --endpoint {other}" if other else ""
    return Reason(f"401 from {call.endpoint}: it does not know this key", f"check the key for a typing error{keys}")


def rate_limited(facts: Facts) -> Reason | None:
    """Find a call that was refused for its rate, or for an empty account."""
    call = facts.call
    if call.status_code != 429:
        return None
    kind = call.error_kind or ""
    if "quota" in kind:
        return Reason(f"429 {words_of(kind)}: {call.error_message}", "top up the account; trying again does not help")
    wait = f"wait {call.retry_after / SECOND:g} s" if call.retry_after is not None else "wait a moment"
    if "overloaded" in kind:
        return Reason("429: the API is overloaded, which is not your fault", f"{wait}, then try again")
    count = facts.minute_before()
    return Reason(
        f"429 {words_of(kind) or 'Too Many Requests'}; {count} calls with this key began in the minute before",
        f"{wait}, then try again; send fewer calls at a time",
    )


def refused(facts: Facts) -> Reason | None:
    """Find a request that the API refused, by its own words."""
    call = facts.call
    code = call.status_code or 0
    if not FIRST_ERROR <= code < 500 or code in (401, 413, 429) or context_full(facts):
        return None
    if (name := unknown_endpoint(call)) is not None and code == NOT_FOUND:
        return Reason(
            f"404: MoonPalace has no endpoint called {name}",
            "name one that config.yaml has (mpal config lists them), or take /@NAME out of the client's base_url",
        )
    if lacks_version(call):
        return Reason(
            f"404: the path {call.path} does not begin with /v1",
            f"end the client's base_url in /v1, so that it calls /v1{call.path}",
        )
    named = f"{code} {words_of(call.error_kind)}: {call.error_message}"
    said = named if call.error_message else status_line(code)
    if call.error_kind == "content_filter":
        return Reason(said, "change the wording of the prompt; the API's filter refused it")
    return Reason(f"the API refused the request: {said}", f"mpal inspect {call.id} --print-request shows what was sent")


def filtered(facts: Facts) -> Reason | None:
    """Find an answer that a filter stopped."""
    if facts.call.finish_reason not in FILTERED:
        return None
    return Reason(
        f"a filter of the API stopped the answer (finish reason {facts.call.finish_reason})",
        "change the wording of the prompt; what has come of the answer is stored",
    )


def no_api(facts: Facts) -> Reason | None:
    """Find an answer by something other than the API: a redirect, or a page."""
    call = facts.call
    code = call.status_code or 0
    if FIRST_REDIRECT <= code < FIRST_ERROR:
        headers = {name.lower(): value for name, value in header_pairs(call.response_headers or "")}
        return Reason(
            f"{status_line(code)}: the endpoint redirects to {headers.get('location', 'nowhere')}",
            "set --endpoint to the address that it redirects to, which is mostly https:// instead of http://",
        )
    if code != OK or "html" not in (call.response_content_type or ""):
        return None
    return Reason(
        f"{call.endpoint} answered {code} with a page of HTML, as websites do and the API does not",
        "check --endpoint, and whether the network wants a login in a browser",
    )


def unreached(facts: Facts) -> Reason | None:
    """Find an endpoint that could not be reached."""
    advice = UNREACHED.get(facts.call.error_kind or "")
    if advice is None:
        return None
    return Reason(f"{facts.call.endpoint} was not reached: {facts.call.error_message or facts.call.error_kind}", advice)


def gateway(facts: Facts) -> Reason | None:
    """Find a connection that was cut while nothing was sent."""
    call = facts.call
    force = "stream, or start with --force-stream: a connection on which bytes arrive is not cut"
    if call.status_code in (502, 503, 504) and call.state is State.COMPLETED:
        html = " with a page of HTML, as gateways do," if "html" in (call.response_content_type or "") else ""
        took = f" after {seconds(call.latency)}" if call.latency is not None else ""
        return Reason(f"{call.status_code}{html}{took}", f"try again; if it took long, {force}")
    if call.error_kind not in ("upstream_cut", "upstream_reset"):
        return None
    silence = facts.silence if facts.chunks else call.latency
    if silence is not None and silence >= GATEWAY_SILENCE:
        return Reason(f"the connection was cut after {seconds(silence)} without a byte, as gateways do", force)
    received = f" after {call.response_bytes:,} bytes of the answer" if call.response_bytes else " before any answer"
    return Reason(f"the API closed the connection{received}", "try again; the part that arrived is stored")


def client_left(facts: Facts) -> Reason | None:
    """Find a client that hung up."""
    call = facts.call
    if call.error_kind not in ("client_disconnected", "client_timeout"):
        return None
    after = f" after {seconds(call.latency)}" if call.latency is not None else ""
    if facts.silence is not None and facts.silence >= SECOND:
        return Reason(
            f"your program hung up{after}, when nothing had come from the API for {seconds(facts.silence)}",
            "raise your client's read timeout; thinking models can be silent for minutes",
        )
    if call.status_code is None:
        return Reason(
            f"your program hung up{after}, before the API answered", "raise your client's timeout, or ask for a stream"
        )
    return Reason(
        f"your program hung up{after}, while the answer was arriving", "look for a timeout or an exception there"
    )


def timed_out(facts: Facts) -> Reason | None:
    """Find a call that the proxy ended because the API sent nothing."""
    if facts.call.error_kind != "upstream_timeout":
        return None
    return Reason("the API sent nothing for as long as --idle-timeout allows", "try again, or raise --idle-timeout")


def died(facts: Facts) -> Reason | None:
    """Find a call during which the proxy ended."""
    if facts.call.state is not State.PROXY_DIED:
        return None
    return Reason("the proxy ended during the call", "send it again; mpal doctor shows what the store holds of it")


def server_error(facts: Facts) -> Reason | None:
    """Find an error of the API itself."""
    call = facts.call
    if call.holds_error:
        return Reason(
            f"the answer began with status {call.status_code} and ended in an error: "
            f"{words_of(call.error_kind)}: {call.error_message}",
            "try again; a client must look for errors in streams too",
        )
    if call.status_code is None or call.status_code < 500 or gateway(facts):
        return None
    return Reason(f"{call.status_code}: {call.error_message or 'the API failed'}", "try again; the fault is the API's")


def stalled(facts: Facts) -> Reason | None:
    """Find a stream that was silent for long."""
    stall = facts.stall
    if stall is None or stall[0] < LONG_SILENCE or facts.call.error_kind == "client_disconnected":
        return None
    return Reason(
        f"the stream was silent for {seconds(stall[0])}, from {seconds(stall[1])} on",
        f"mpal inspect {facts.call.id} --timeline shows where",
    )


def unfinished(facts: Facts) -> Reason | None:
    """Find an answer without a finish reason, and a stream that ended before it or before its first byte."""
    call = facts.call
    if cut_by(call) == NO_REASON:
        return Reason("the answer ended without a finish reason: it may be incomplete", AGAIN)
    if call.state is not State.COMPLETED or call.finish_reason or call.holds_error:
        return None
    if call.is_stream and call.status_code == OK and call.response_bytes == 0:
        return Reason("the stream is empty: the API ended it before its first byte", AGAIN)
    ended = next((warning for warning in call.warnings if warning.startswith(ENDED_EARLY)), None)
    return Reason(ended, AGAIN) if ended else None


def empty(facts: Facts) -> Reason | None:
    """Find a whole answer without a text or a call."""
    call, parts = facts.call, facts.said.answer_parts
    if call.finish_reason not in BY_ITSELF or call.holds_error or not facts.said.answered:
        return None
    if any(part.text for part in parts if part.kind != "reasoning"):
        return None
    thought = "has only reasoning" if parts and any(part.text for part in parts) else "is empty"
    return Reason(
        f"the answer {thought}, though the model ended it by itself",
        "look at the last messages: the model may have seen nothing to answer; " + AGAIN,
    )


def broken_arguments(facts: Facts) -> Reason | None:
    """Find a tool call whose arguments are not JSON."""
    for part in facts.said.answer_parts:
        if part.kind == "call" and part.text and not isinstance(parse(part.text), dict | list):
            return Reason(
                f"the arguments of the tool call {part.label} are not JSON: {excerpt(part.text)!r}",
                "return the error to the model as the tool's result; if the answer was cut, raise its limit",
            )
    return None


def cache_lost(facts: Facts) -> Reason | None:
    """Find a prompt of which nothing was cached though it continues another."""
    call = facts.call
    if (call.prompt_tokens or 0) < MIN_CACHED_PROMPT or call.cached_tokens:
        return None
    earlier = facts.earlier()
    if earlier is None:
        return None
    parts = f", from which it differs in message {earlier.parts_at}" if earlier.parts_at else ""
    return Reason(
        f"none of its {amount(call.prompt_tokens)} prompt tokens were cached, though it continues call "
        f"{earlier.row_id}{parts}",
        f"keep the beginning of prompts unchanged; mpal cache why {call.id} shows the difference",
    )


def excerpt(text: str) -> str:
    """Return the beginning of a text in one line."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else line[:EXCERPT] + "…"


RULES: tuple[Callable[[Facts], Reason | None], ...] = (
    wrong_key,
    rate_limited,
    context_full,
    truncated,
    looping,
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
