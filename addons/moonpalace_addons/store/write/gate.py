"""Mask secrets in everything that is captured of a call, before any of it is stored."""

from collections.abc import Sequence
from functools import lru_cache

from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.tasks import RequestRead
from moonpalace_addons.wire.secrets import assignments, bodies, masking, streams
from moonpalace_addons.wire.secrets.patterns import Finding
from moonpalace_addons.wire.secrets.values import known

HEAD_SIZE = 64
MAX_ECHOED, MAX_ECHOES = 512, 20
"""Maximum size and number of secrets in a request's body that are searched for in its answer."""
EVENTS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""Possible beginnings of an event stream, whatever its content type; a wrong guess is masked as well."""


def hidden_in(request: RequestRead) -> tuple[tuple[bytes, ...], Values]:
    """Return the known secrets of a request, and the columns of its headers and address with their secrets masked.

    `storable` masks secrets known from elsewhere, in these columns as in all others.
    """
    headers, found = masking.mask_header_text(request.headers)
    address, told = passed_address(request.path, request.query)
    return merged_secrets(request.secrets, tuple(found), told), {"request_headers": headers, **address}


@lru_cache(256)
def passed_address(path: str, query: str) -> tuple[Values, tuple[bytes, ...]]:
    """Return the masked columns of an address and its credentials. Cached, as most calls have the same address."""
    return {"path": masking.mask_path(path), "query": masking.mask_query(query)}, masking.credentials((), path, query)


@lru_cache(256)
def merged_secrets(*groups: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the distinct secrets of several groups, longest first."""
    return tuple(sorted({secret for group in groups for secret in group}, key=lambda secret: (-len(secret), secret)))


def masked_body(data: bytes, hidden: Sequence[bytes]) -> tuple[bytes, list[str]]:
    """Return a body with its secrets masked, in a stream those within one event, and the kinds of masked secrets.

    The kinds do not include the call's own credentials, which are always masked.
    """
    find = streams.find if is_events(data) else bodies.find
    return masked(data, find(data, known(tuple(hidden))))


def masked_request(data: bytes, hidden: Sequence[bytes]) -> tuple[bytes, list[str], tuple[bytes, ...]]:
    """Return the masked body of a request, the kinds of masked secrets, and `hidden` with the secrets in the body.

    Upstream may echo in its answer what a client sends in a form or in JSON.
    """
    found = bodies.find(data, known(tuple(hidden)))
    values = {data[finding.start : finding.end] for finding in found if finding.end - finding.start <= MAX_ECHOED}
    told = sorted(value for value in values if assignments.is_mixed(value))[:MAX_ECHOES]
    return *masked(data, found), merged_secrets(tuple(hidden), tuple(told)) if told else tuple(hidden)


def masked_pieces(data: bytes, hidden: Sequence[bytes]) -> tuple[bytes, list[str]]:
    """Return a stream with secrets masked that are split across events."""
    return masked(data, streams.find_split(data, known(tuple(hidden))))


def masked_part(data: bytes, hidden: Sequence[bytes], *, in_events: bool) -> bytes:
    """Return a part of an answer in flight with all secrets masked, including split ones."""
    whole = known(tuple(hidden))
    if not in_events:
        return masked(data, bodies.find(data, whole))[0]
    return masked_pieces(masked(data, streams.find(data, whole))[0], hidden)[0]


def all_texts_masked(data: bytes) -> bytes:
    """Return a stream with all its texts masked, for a secret whose position is unknown."""
    return masking.overwrite(data, streams.strings(data))


def masked(data: bytes, found: Sequence[Finding]) -> tuple[bytes, list[str]]:
    """Return the data with the findings masked, and their kinds."""
    if not found:
        return data, []
    kinds = sorted({finding.kind for finding in found} - {bodies.OWN_CREDENTIAL})
    return masking.overwrite(data, ((finding.start, finding.end) for finding in found)), kinds


def storable_size(data: bytes, hidden: Sequence[bytes], *, in_events: bool) -> int:
    """Return the number of bytes of an answer in flight that can be stored: up to a secret that may still continue."""
    return streams.safe_length(data, known(tuple(hidden)), in_events=in_events)


def is_events(data: bytes) -> bool:
    """Return whether an answer is an event stream."""
    return data[:HEAD_SIZE].lstrip(b"\xef\xbb\xbf\r\n ").startswith(EVENTS)


def warnings(side: str, kinds: Sequence[str]) -> list[str]:
    """Return the warning that secrets in a body are masked."""
    return [f"secrets in the {side} are masked: {', '.join(sorted(set(kinds)))}"] if kinds else []
