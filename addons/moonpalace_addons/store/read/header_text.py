"""Read headers as they are stored: `Name: value` lines."""


def header_lines(headers: str) -> list[str]:
    """Return the lines without their ends; rows of the original's may end them with LF alone."""
    return [line for each in headers.split("\n") if (line := each.removesuffix("\r"))]


def header_pairs(headers: str) -> list[tuple[str, str]]:
    """Return names and values, without the spaces and tabs around them."""
    pairs = (line.partition(":") for line in header_lines(headers))
    return [(name.strip(" \t"), value.strip(" \t")) for name, _, value in pairs]
