"""Read headers as they are stored."""


def header_pairs(headers: str) -> list[tuple[str, str]]:
    """Return names and values of `Name: value` lines."""
    pairs = (line.partition(": ") for line in headers.split("\r\n") if line)
    return [(name, value) for name, _, value in pairs]
