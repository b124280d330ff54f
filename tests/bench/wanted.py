"""What a figure has to be, said beside it, with a mark where it is not."""

MARK = "  <== NOT HELD"


def at_most(value: float, most: float | None, unit: str) -> str:
    """Return what a figure may be at most, marked if it is more; nothing is wanted of it with None."""
    if most is None:
        return ""
    return f"(wanted: at most {f'{most:g} {unit}'.strip()}){MARK if value > most else ''}"
