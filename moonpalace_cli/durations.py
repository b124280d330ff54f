"""Write durations for people."""

MILLISECOND, SECOND = 1_000_000, 1_000_000_000


def duration(nanoseconds: int | None) -> str:
    """Return the duration in two or three digits with its unit: 450us, 1.2ms, 35ms, 1.17s, 2m05s; empty for None."""
    if nanoseconds is None:
        return ""
    if nanoseconds < 0:
        return "-" + duration(-nanoseconds)
    if nanoseconds < MILLISECOND:
        return f"{nanoseconds // 1000}us"
    if nanoseconds < SECOND:
        return (
            f"{nanoseconds / MILLISECOND:.1f}ms"
            if nanoseconds < 10 * MILLISECOND
            else f"{nanoseconds // MILLISECOND}ms"
        )
    if nanoseconds < 60 * SECOND:
        return f"{nanoseconds / SECOND:.{2 if nanoseconds < 10 * SECOND else 1}f}s"
    minutes, seconds = divmod(nanoseconds // SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"
