"""Let nothing secret into the store: what comes of a call passes here, before any of it is kept."""

from collections.abc import Sequence
from functools import lru_cache

from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.tasks import RequestRead
from moonpalace_addons.wire.secrets import assignments, bodies, masking, streams
from moonpalace_addons.wire.secrets.patterns import Finding
from moonpalace_addons.wire.secrets.values import known

HEAD = 64
MAX_ECHOED, MAX_ECHOES = 512, 20
"""Bytes of a secret in a request's body, and how many of them, that are looked for in its answer."""
EVENTS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""What a stream of events begins with, whatever its label says; what is taken for one wrongly is looked at as well."""


def hidden_in(request: RequestRead) -> tuple[tuple[bytes, ...], Values]:
    """Return the secrets that a request is known to have, and the columns of its headers and address without its own.

    Those columns go through `storable`, as all do, which masks what is known from elsewhere.
    """
    headers, found = masking.mask_header_text(request.headers)
    address, told = passed_address(request.path, request.query)
    return together(request.secrets, tuple(found), told), {"request_headers": headers, **address}


@lru_cache(256)
def passed_address(path: str, query: str) -> tuple[Values, tuple[bytes, ...]]:
    """Return the columns of an address without the credentials in it, and these; most calls have the same address."""
    return {"path": masking.mask_path(path), "query": masking.mask_query(query)}, masking.credentials((), path, query)


@lru_cache(256)
def together(*groups: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return secrets once each, longest first."""
    return tuple(sorted({secret for group in groups for secret in group}, key=lambda secret: (-len(secret), secret)))


def masked_body(data: bytes, hidden: Sequence[bytes]) -> tuple[bytes, list[str]]:
    """Return a body, or all of a stream that is not in pieces, with its secrets masked; and which it was changed for.

    The credentials of the call are not told: that they are masked goes without saying.
    """
    find = streams.find if is_events(data) else bodies.find
    return masked(data, find(data, known(tuple(hidden))))


def masked_request(data: bytes, hidden: Sequence[bytes]) -> tuple[bytes, list[str], tuple[bytes, ...]]:
    """Return the body of a request masked, what it was changed for, and the secrets with those that were in it.

    What a client sends in a form or in JSON, upstream may repeat in its answer.
    """
    found = bodies.find(data, known(tuple(hidden)))
    values = {data[finding.start : finding.end] for finding in found if finding.end - finding.start <= MAX_ECHOED}
    told = sorted(value for value in values if assignments.is_mixed(value))[:MAX_ECHOES]
    return *masked(data, found), together(tuple(hidden), tuple(told)) if told else tuple(hidden)


def masked_pieces(data: bytes, hidden: Sequence[bytes]) -> tuple[bytes, list[str]]:
    """Return a stream with those secrets masked that come in several pieces."""
    return masked(data, streams.find_split(data, known(tuple(hidden))))


def masked_part(data: bytes, hidden: Sequence[bytes], *, in_events: bool) -> bytes:
    """Return a part of an answer under way with all secrets masked, those in pieces too."""
    whole = known(tuple(hidden))
    if not in_events:
        return masked(data, bodies.find(data, whole))[0]
    return masked_pieces(masked(data, streams.find(data, whole))[0], hidden)[0]


def blotted(data: bytes) -> bytes:
    """Return a stream with all masked that is a piece of a text: where a secret is in it is not known."""
    return masking.overwrite(data, streams.strings(data))


def masked(data: bytes, found: Sequence[Finding]) -> tuple[bytes, list[str]]:
    """Return the data with what was found masked, and the kinds of it."""
    if not found:
        return data, []
    kinds = sorted({finding.kind for finding in found} - {bodies.OWN_CREDENTIAL})
    return masking.overwrite(data, ((finding.start, finding.end) for finding in found)), kinds


def settled(data: bytes, hidden: Sequence[bytes], *, in_events: bool) -> int:
    """Return how many bytes of an answer under way can be stored: none of a secret that may still be continued."""
    return streams.safe_length(data, known(tuple(hidden)), in_events=in_events)


def is_events(data: bytes) -> bool:
    """Tell whether an answer is a stream of events."""
    return data[:HEAD].lstrip(b"\xef\xbb\xbf\r\n ").startswith(EVENTS)


def warnings(side: str, kinds: Sequence[str]) -> list[str]:
    """Return the warning that a body is not kept as it was."""
    return [f"secrets in the {side} are masked: {', '.join(sorted(set(kinds)))}"] if kinds else []
