"""Headers with an index equal mitmproxy's."""

from collections.abc import Callable

import pytest
from mitmproxy.http import Headers

from moonpalace_addons.mitm.quick_headers import make_headers, named_fields

FIELDS = [(b"Host", b"x"), (b"a", b"1"), (b"A", b"\xff")]


def test_headers() -> None:
    """Headers equal mitmproxy's."""
    made = make_headers(list(FIELDS))
    assert vars(made) == vars(Headers(FIELDS))
    assert made.get_all("A") == ["1", "\udcff"]


def value_or_error(read: Callable[[], object]) -> object:
    """Return the result of a lookup, or its error."""
    try:
        return read()
    except KeyError:
        return KeyError


@pytest.mark.parametrize("name", ["a", "A", b"a", "host", "HOST", "", "none", "hos", "\udcff", "é"])
def test_look_ups(name: str) -> None:
    """Every kind of lookup gives mitmproxy's result."""
    fields = [*FIELDS, (b"", b"empty"), (b"\xff", b"odd"), ("é".encode(), "é".encode())]
    quick, ordinary = make_headers(fields), Headers(fields)
    for headers in (quick, ordinary):
        headers.add("added", "x")
    reads: list[Callable[[Headers], object]] = [
        lambda headers: headers.get(name),
        lambda headers: headers.get(name, "default"),
        lambda headers: headers[name],
        lambda headers: name in headers,
        lambda headers: headers.get_all(name),
        lambda headers: headers.pop(name, None),
        lambda headers: (list(headers), list(headers.items()), headers.fields, bytes(headers)),
    ]
    for read in reads:
        assert value_or_error(lambda read=read: read(quick)) == value_or_error(lambda read=read: read(ordinary))  # type: ignore[misc]
    assert quick == ordinary
    assert quick.copy() == ordinary.copy()


CHANGES: dict[str, Callable[[Headers], object]] = {
    "set one that is there": lambda headers: headers.__setitem__("HOST", "y"),
    "set one that is there twice": lambda headers: headers.__setitem__("a", "2"),
    "set one that is not there": lambda headers: headers.__setitem__("new", "ä"),
    "set several": lambda headers: headers.set_all("host", ["1", b"2"]),
    "set none": lambda headers: headers.set_all("a", []),
    "delete": lambda headers: headers.pop("a"),
    "add": lambda headers: headers.add("host", "z"),
    "fields": lambda headers: setattr(headers, "fields", ((b"x", b"y"),)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_headers_that_were_looked_up_change(change: Callable[[Headers], object]) -> None:
    """Lookups after a change give mitmproxy's result."""
    quick, ordinary = make_headers(list(FIELDS)), Headers(FIELDS)
    for headers in (quick, ordinary):
        assert "host" in headers
        change(headers)
    assert quick.fields == ordinary.fields
    for name in ("host", "a", b"A", "new", "x"):
        assert (quick.get_all(name), quick.get(name), name in quick) == (
            ordinary.get_all(name),
            ordinary.get(name),
            name in ordinary,
        )


@pytest.mark.parametrize("headers", [make_headers(FIELDS), Headers(FIELDS)], ids=["quick", "ordinary"])
def test_fields_by_name(headers: Headers) -> None:
    """Values are found by name in headers of either kind, also after a change."""
    assert named_fields(headers) == {b"host": b"x", b"a": b"1, \xff"}
    headers["Host"] = "y"
    assert named_fields(headers) == {b"host": b"y", b"a": b"1, \xff"}
