"""Header fields as they came: names and values in bytes, in their order."""

from collections.abc import Iterator, Mapping, Sequence

type Fields = Sequence[tuple[bytes, bytes]]
type Named = Mapping[bytes, bytes]
"""Values by lower-case name, those of one name joined by commas as HTTP does it."""


def by_name(fields: Fields) -> dict[bytes, bytes]:
    """Return the values by name."""
    named = {name.lower(): value for name, value in fields}
    if len(named) == len(fields):
        return named
    named.clear()
    for name, value in fields:
        key = name.lower()
        named[key] = b"%b, %b" % (named[key], value) if key in named else value
    return named


def lines(fields: Fields) -> Iterator[bytes]:
    """Iterate over the fields as `Name: value`, without line ends."""
    return map(b": ".join, fields)


def as_text(fields: Fields) -> str:
    r"""Return the fields as they are stored: `Name: value\r\n` lines; bytes that are not UTF-8 become U+FFFD."""
    return b"\r\n".join([*lines(fields), b""]).decode("utf-8", "replace")


def text_of(named: Named, name: bytes) -> str | None:
    """Return the value of a name as text, or None; bytes that are not UTF-8 become U+FFFD."""
    value = named.get(name)
    return None if value is None else value.decode("utf-8", "replace")
