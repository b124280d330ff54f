"""Write durations for people."""

MILLISECOND, SECOND = 1_000_000, 1_000_000_000


def duration(nanoseconds: int | None) -> str:
    """Return the duration in two or three digits with its unit: 450us, 1.2ms, 35ms, 1.17s, 2m05s; empty for None.

    Further digits are cut off: rounded, 9.97ms would be 10.0ms, and 59.99s 60.0s.
    """
    if nanoseconds is None:
        return ""
    if nanoseconds < 0:
        return "-" + duration(-nanoseconds)
    if nanoseconds < MILLISECOND:
        return f"{nanoseconds // 1000}us"
    if nanoseconds < SECOND:
        whole = nanoseconds // MILLISECOND
        return f"{nanoseconds // 100_000 / 10:.1f}ms" if whole < 10 else f"{whole}ms"
    if nanoseconds < 60 * SECOND:
        hundredths = nanoseconds // (10 * MILLISECOND)
        return f"{hundredths / 100:.2f}s" if hundredths < 1000 else f"{hundredths // 10 / 10:.1f}s"
    minutes, seconds = divmod(nanoseconds // SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"
