"""Format durations for people."""

MILLISECOND, SECOND = 1_000_000, 1_000_000_000


def duration(nanoseconds: int | None) -> str:
    """Format a duration in two or three digits with its unit: 450us, 1.2ms, 35ms, 1.17s, 2m05s; empty for None.

    Milliseconds are cut off, as they are in the metadata, and minutes too; a value of seconds that rounds up to a
    minute is written as such: 59.97s is 1m00s.
    """
    if nanoseconds is None:
        return ""
    if nanoseconds < 0:
        return "-" + duration(-nanoseconds)
    if nanoseconds < MILLISECOND:
        return f"{nanoseconds // 1000}us"
    if nanoseconds < 10 * MILLISECOND:
        return f"{nanoseconds // 100_000 / 10:.1f}ms"
    if nanoseconds < SECOND:
        return f"{nanoseconds // MILLISECOND}ms"
    if nanoseconds < 59.95 * SECOND:
        return f"{nanoseconds / SECOND:.{2 if nanoseconds < 9.995 * SECOND else 1}f}s"
    minutes, seconds = divmod(max(60, nanoseconds // SECOND), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"
