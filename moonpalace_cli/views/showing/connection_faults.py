"""Rules that find faults between client and API: in the network, in gateways, in the client, at the API."""

from __future__ import annotations

from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.store.read.outcomes import words_of
from moonpalace_addons.store.state import State
from moonpalace_addons.views.call_line import seconds
from moonpalace_addons.wire.status import FIRST_ERROR, FIRST_REDIRECT, status_line
from moonpalace_cli.views.showing.facts import Facts
from moonpalace_cli.views.showing.phrases import NOTHING, phrase
from moonpalace_cli.views.showing.reason import Reason

OK = 200
SECOND = 1_000_000_000
LONG_SILENCE = 10 * SECOND
"""A silence that a user notices."""
GATEWAY_SILENCE = 25 * SECOND
"""A silence after which gateways close connections: the shortest of their usual limits is 30 s."""
FORCE = phrase("stream, or start with --force-stream: a connection on which bytes arrive is not cut")
UNREACHED = {
    "upstream_refused": phrase("check --endpoint, and whether something listens there"),
    "upstream_unreachable": phrase("check the network, and --upstream-proxy if there is a proxy in between"),
    "upstream_unknown_host": phrase("check the spelling of --endpoint, and the network"),
    "upstream_tls": phrase("check the certificate: --upstream-ca names the CA of a private endpoint"),
    "upstream_proxy": phrase("check --upstream-proxy and HTTPS_PROXY"),
    "upstream_is_this_proxy": phrase("set --endpoint to the API, not to this proxy"),
}


def no_api(facts: Facts) -> Reason | None:
    """Find an answer that does not come from the API: a redirect, or a page."""
    call = facts.call
    code = call.status_code or 0
    if FIRST_REDIRECT <= code < FIRST_ERROR:
        headers = {name.lower(): value for name, value in header_pairs(call.response_headers or "")}
        where = headers.get("location") or phrase("nowhere")
        return Reason(
            phrase("{status}: the endpoint redirects to {where}", status=status_line(code), where=where),
            phrase("set --endpoint to the address that it redirects to, which is mostly https:// instead of http://"),
        )
    if code != OK or "html" not in (call.response_content_type or ""):
        return None
    return Reason(
        phrase(
            "{endpoint} answered {code} with a page of HTML, as websites do and the API does not",
            endpoint=call.endpoint,
            code=code,
        ),
        phrase("check --endpoint, and whether the network wants a login in a browser"),
    )


def unreached(facts: Facts) -> Reason | None:
    """Find an endpoint that could not be reached."""
    call = facts.call
    advice = UNREACHED.get(call.error_kind or "")
    if advice is None:
        return None
    why = call.error_message or call.error_kind
    return Reason(phrase("{endpoint} was not reached: {why}", endpoint=call.endpoint, why=why), advice)


def gateway(facts: Facts) -> Reason | None:
    """Find a connection that was closed during a silence."""
    call = facts.call
    if call.status_code in (502, 503, 504) and call.state is State.COMPLETED:
        is_page = "html" in (call.response_content_type or "")
        took = NOTHING if call.latency is None else phrase(" after {duration}", duration=seconds(call.latency))
        return Reason(
            phrase(
                "{status}{page}{took}",
                status=call.status_code,
                page=phrase(" with a page of HTML, as gateways do,") if is_page else NOTHING,
                took=took,
            ),
            phrase("try again; if it took long, {force}", force=FORCE),
        )
    if call.error_kind not in ("upstream_cut", "upstream_reset"):
        return None
    silence = facts.silence if facts.chunks else call.latency
    if silence is not None and silence >= GATEWAY_SILENCE:
        return Reason(
            phrase("the connection was cut after {duration} without a byte, as gateways do", duration=seconds(silence)),
            FORCE,
        )
    count = call.response_bytes
    if count:
        received = phrase(" after {count} bytes of the answer", count=f"{count:,}")
    else:
        received = NOTHING if facts.has_answer else phrase(" before any answer")
    return Reason(
        phrase("the API closed the connection{received}", received=received),
        phrase("try again; the part that arrived is stored") if facts.has_answer else phrase("try again"),
    )


def client_left(facts: Facts) -> Reason | None:
    """Find a client that hung up."""
    call = facts.call
    if call.error_kind not in ("client_disconnected", "client_timeout"):
        return None
    after = NOTHING if call.latency is None else phrase(" after {latency}", latency=seconds(call.latency))
    if facts.silence is not None and facts.silence >= SECOND:
        return Reason(
            phrase(
                "your program hung up{after}, when nothing had come from the API for {silence}",
                after=after,
                silence=seconds(facts.silence),
            ),
            phrase("raise your client's read timeout; thinking models can be silent for minutes"),
        )
    if call.status_code is None:
        return Reason(
            phrase("your program hung up{after}, before the API answered", after=after),
            phrase("raise your client's timeout, or ask for a stream"),
        )
    return Reason(
        phrase("your program hung up{after}, while the answer was arriving", after=after),
        phrase("look for a timeout or an exception there"),
    )


def timed_out(facts: Facts) -> Reason | None:
    """Find a call that the proxy ended because the API sent nothing."""
    if facts.call.error_kind != "upstream_timeout":
        return None
    return Reason(
        phrase("the API sent nothing for as long as --idle-timeout allows"),
        phrase("try again, or raise --idle-timeout"),
    )


def died(facts: Facts) -> Reason | None:
    """Find a call during which the proxy ended."""
    if facts.call.state is not State.PROXY_DIED:
        return None
    return Reason(
        phrase("the proxy ended during the call"),
        phrase("send it again; mpal doctor shows what the store holds of it"),
    )


def server_error(facts: Facts) -> Reason | None:
    """Find an error of the API itself."""
    call = facts.call
    if call.holds_error:
        return Reason(
            phrase(
                "the answer began with status {status} and ended in an error: {kind}: {message}",
                status=call.status_code,
                kind=words_of(call.error_kind),
                message=call.error_message,
            ),
            phrase("try again; a client must look for errors in streams too"),
        )
    if call.status_code is None or call.status_code < 500 or gateway(facts):
        return None
    message = call.error_message or phrase("the API failed")
    return Reason(
        phrase("{status}: {message}", status=call.status_code, message=message),
        phrase("try again; the fault is the API's"),
    )


def stalled(facts: Facts) -> Reason | None:
    """Find a stream with a long silence."""
    stall = facts.stall
    if stall is None or stall[0] < LONG_SILENCE or facts.call.error_kind == "client_disconnected":
        return None
    duration, start = map(seconds, stall)
    return Reason(
        phrase("the stream was silent for {duration}, from {start} on", duration=duration, start=start),
        phrase("mpal inspect {id} --timeline shows where", id=facts.call.id),
    )
