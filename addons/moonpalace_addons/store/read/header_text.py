"""Parse stored headers: `Name: value` lines."""


def header_lines(headers: str) -> list[str]:
    """Return the lines without line endings; rows of the original MoonPalace may use LF alone."""
    return [line for each in headers.split("\n") if (line := each.removesuffix("\r"))]


def header_pairs(headers: str) -> list[tuple[str, str]]:
    """Return names and values, stripped of spaces and tabs."""
    pairs = [line.partition(":") for line in header_lines(headers)]
    return [(name.strip(" \t"), value.strip(" \t")) for name, _, value in pairs]
