"""Read the response headers in which APIs say the same things under different names."""

import re
from collections.abc import Mapping
from typing import NamedTuple

NANOSECONDS = 1_000_000_000

REQUEST_IDS = ("msh-request-id", "x-request-id", "request-id", "x-ms-request-id")
"""Kimi's, OpenAI's, Anthropic's and Azure's name."""
REQUESTS_LEFT = (
    "x-ratelimit-remaining-requests",
    "anthropic-ratelimit-requests-remaining",
    "x-ratelimit-remaining",
)
TOKENS_LEFT = ("x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining")
_DURATION = re.compile(r"dur=([0-9]{1,18})|^([0-9]{1,18})$")
_COUNT = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class AnswerHeaders(NamedTuple):
    """The values in the headers of an answer, in the names of the columns.

    `server_timing` is in milliseconds; `retry_after`, the time to wait before another try, in nanoseconds.
    """

    msh_request_id: str | None = None
    msh_uid: str | None = None
    msh_gid: str | None = None
    server_timing: int | None = None
    context_cache_id: str | None = None
    cache_tokens: int | None = None
    requests_left: int | None = None
    tokens_left: int | None = None
    retry_after: int | None = None


def read(named: Mapping[str, str]) -> AnswerHeaders:
    """Read the values in these headers, given by their lower-case names."""
    return AnswerHeaders(
        msh_request_id=_first(named, REQUEST_IDS),
        msh_uid=named.get("msh-uid"),
        msh_gid=named.get("msh-gid"),
        server_timing=_server_timing(named),
        context_cache_id=named.get("msh-context-cache-id"),
        cache_tokens=_count(named.get("msh-context-cache-token-saved")),
        requests_left=_count(_first(named, REQUESTS_LEFT)),
        tokens_left=_count(_first(named, TOKENS_LEFT)),
        retry_after=_retry_after(named),
    )


def _first(named: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    for name in names:
        if found := named.get(name):
            return found
    return None


def _count(text: str | None) -> int | None:
    """Return the number in a header; None if it is not a number or too large for a column."""
    return int(text) if text is not None and _COUNT.fullmatch(text.strip()) else None


def _server_timing(named: Mapping[str, str]) -> int | None:
    duration = _DURATION.search(named.get("server-timing", ""))
    return int(duration[1] or duration[2]) if duration else _count(named.get("openai-processing-ms"))


def _retry_after(named: Mapping[str, str]) -> int | None:
    """Return the time to wait; None for a date, which needs a clock."""
    for name, unit in (("retry-after-ms", NANOSECONDS // 1000), ("retry-after", NANOSECONDS)):
        text = named.get(name)
        if text is not None and _NUMBER.fullmatch(text := text.strip()):
            return round(float(text) * unit)
    return None
