"""The limit of a figure, shown next to it, with a mark if it is exceeded."""

MARK = "  <== NOT HELD"


def at_most(value: float, most: float | None, unit: str) -> str:
    """Return a figure's limit, marked if the figure exceeds it; None means no limit."""
    if most is None:
        return ""
    return f"(wanted: at most {f'{most:g} {unit}'.strip()}){MARK if value > most else ''}"
