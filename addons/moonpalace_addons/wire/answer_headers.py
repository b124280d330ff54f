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
_METRIC = re.compile(
    r'(?:^|,)[ \t]*+([^\s,;="]++)[ \t]*+(?:;[ \t]*+(?!dur=)[^,;"]*+(?:"[^"]*+"[ \t]*+)?+)*+;[ \t]*+dur=([0-9]{1,18})'
)
"""A metric of Server-Timing that has a duration. Nothing is tried twice: the header may have any size."""
_BARE = re.compile(r"dur=([0-9]{1,18})|([0-9]{1,18})$")
"""A duration without a name."""
_OWN_METRIC = "inner"
"""Kimi's."""
_CDN_METRIC = re.compile(r"cf[A-Z]|cdn|edge")
"""How the metrics begin that Cloudflare, Akamai and Fastly add."""
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


def read(headers: Mapping[str, str]) -> AnswerHeaders:
    """Read the values from these headers, given by their lower-case names."""
    return AnswerHeaders(
        msh_request_id=_first(headers, REQUEST_IDS),
        msh_uid=headers.get("msh-uid"),
        msh_gid=headers.get("msh-gid"),
        server_timing=_server_timing(headers),
        context_cache_id=headers.get("msh-context-cache-id"),
        cache_tokens=_count(headers.get("msh-context-cache-token-saved")),
        requests_left=_count(_first(headers, REQUESTS_LEFT)),
        tokens_left=_count(_first(headers, TOKENS_LEFT)),
        retry_after=_retry_after(headers),
    )


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    for name in names:
        if value := headers.get(name):
            return value
    return None


def _count(text: str | None) -> int | None:
    """Return the number in a header; None if it is not a number or too large for a column."""
    return int(text) if text is not None and _COUNT.fullmatch(text.strip()) else None


def _server_timing(headers: Mapping[str, str]) -> int | None:
    """Return the milliseconds that the API itself reports, whatever servers in front of it add."""
    text = headers.get("server-timing", "")
    metrics = [metric for metric in _METRIC.findall(text) if not _CDN_METRIC.match(metric[0])]
    own = [duration for name, duration in metrics if name == _OWN_METRIC]
    bare = _BARE.match(text)
    named = (*own, headers.get("openai-processing-ms"), *(duration for _, duration in metrics))
    candidates = (*named, *(bare.groups() if bare else ()))
    return next((count for each in candidates if (count := _count(each)) is not None), None)


def _retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the time to wait in nanoseconds; None for a date, since that would need a clock."""
    for name, unit in (("retry-after-ms", NANOSECONDS // 1000), ("retry-after", NANOSECONDS)):
        text = headers.get(name)
        if text is not None and _NUMBER.fullmatch(text := text.strip()):
            return round(float(text) * unit)
    return None
