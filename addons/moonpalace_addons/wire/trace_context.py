"""Read the trace that a client's request belongs to from its W3C Trace Context headers.

`traceparent` is `00-<trace id>-<span id>-<flags>` in lower-case hexadecimal digits; a later version may add fields
after another hyphen. https://www.w3.org/TR/trace-context/
"""

import re
from typing import NamedTuple

MARK = "traceparent"
"""Text that headers with a trace contain: without it, they need not be parsed."""
MAX_STATE = 512
"""Maximum characters of `tracestate`: the standard requires that at least this many are passed on."""
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


class TraceContext(NamedTuple):
    """The trace and the parent span of a request; `state` is the text of `tracestate`."""

    trace_id: int
    span_id: int
    flags: int
    state: str = ""

    @property
    def is_sampled(self) -> bool:
        """Return whether the client records its trace."""
        return bool(self.flags & _SAMPLED)


def of_headers(headers: str) -> TraceContext | None:
    """Return the trace named in stored headers, which are `Name: value` lines.

    Return None if there is none, or it is invalid or ambiguous.
    """
    if MARK not in headers.lower():  # true for most clients
        return None
    parents, states = list[str](), list[str]()
    for line in headers.splitlines():
        name, _, value = line.partition(":")
        if (name := name.strip().lower()) == MARK:
            parents.append(value.strip())
        elif name == "tracestate":
            states.append(value.strip())
    return parse(parents[0], ",".join(states)) if len(parents) == 1 else None


def parse(parent: str, state: str = "") -> TraceContext | None:
    """Return the trace for the values of both headers; None if the first one is invalid."""
    match = _PARENT.fullmatch(parent)
    if match is None or (match[5] and match[1] == "00"):
        return None
    _, trace_id, span_id, flags, _ = match.groups()
    return TraceContext(int(trace_id, 16), int(span_id, 16), int(flags, 16), state if len(state) <= MAX_STATE else "")
