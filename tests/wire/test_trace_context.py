"""The trace that a request names in its headers."""

import pytest

from moonpalace_addons.wire.trace_context import TraceContext, of_headers, parse

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("parent", "flags"),
    [(VALID, 1), (f"00-{TRACE}-{SPAN}-00", 0), (f"01-{TRACE}-{SPAN}-03-more", 3), (f"cc-{TRACE}-{SPAN}-ff", 255)],
)
def test_a_valid_parent(parent: str, flags: int) -> None:
    """The ids and flags are read; a later version may have more."""
    result = parse(parent, "vendor=1")
    assert result == TraceContext(int(TRACE, 16), int(SPAN, 16), flags, "vendor=1")


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "nonsense",
        VALID.upper(),
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"{VALID}-more",
        f"{VALID} ",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n",
        VALID.replace("0af", "٠af"),
    ],
)
def test_an_invalid_parent(parent: str) -> None:
    """An invalid parent gives no trace."""
    assert parse(parent) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("Accept: */*\r\n", None),
        (f"Accept: */*\r\nTraceParent:  {VALID}\r\n", ""),
        (f"traceparent: {VALID}\r\ntracestate: a=1\r\nTracestate: b=2\r\n", "a=1,b=2"),
        (f"traceparent: {VALID}\r\ntracestate: a={'x' * 600}\r\n", ""),
        (f"traceparent: {VALID}\r\ntraceparent: {VALID}\r\n", None),
        (f"X-Note: traceparent: {VALID}\r\n", None),
    ],
)
def test_headers(headers: str, expected: str | None) -> None:
    """Header names are case-insensitive; several parents count as none, and a long state is left out."""
    result = of_headers(headers)
    assert (None if result is None else result.state) == expected
