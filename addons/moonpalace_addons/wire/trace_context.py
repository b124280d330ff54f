"""Read the trace that a client's request belongs to, from the headers of W3C Trace Context.

`traceparent` is `00-<trace id>-<span id>-<flags>` in lower-case hexadecimal digits; a later version may add fields
behind another hyphen. https://www.w3.org/TR/trace-context/
"""

import re
from typing import NamedTuple

MARK = "traceparent"
"""What headers that name a trace contain: without it, they need not be parsed."""
MAX_STATE = 512
"""Characters of `tracestate` that are read: what the standard says must be passed on at least."""
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


class TraceContext(NamedTuple):
    """The trace and the span that a request belongs to; `state` is the text of `tracestate`."""

    trace_id: int
    span_id: int
    flags: int
    state: str = ""

    @property
    def is_sampled(self) -> bool:
        """Tell whether the client records its trace."""
        return bool(self.flags & _SAMPLED)


def of_headers(headers: str) -> TraceContext | None:
    """Return the trace that stored headers, `Name: value` lines, name; None for none, an invalid or an unclear one."""
    if MARK not in headers.lower():  # as of most clients
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
    """Return the trace that the values of both headers name, None if the first one is invalid."""
    found = _PARENT.fullmatch(parent)
    if found is None or (found[5] and found[1] == "00"):
        return None
    _, trace_id, span_id, flags, _ = found.groups()
    return TraceContext(int(trace_id, 16), int(span_id, 16), int(flags, 16), state if len(state) <= MAX_STATE else "")
