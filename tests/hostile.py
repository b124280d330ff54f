"""Text of others with all that a message of ours must not repeat, and the check of such a message."""

KEY = "sk-9fR2kLmQ8vXc0TzB4nYd"
COOKIE = "s3cret-of-the-server"
HOSTILE = f"{KEY} \x1b[2J\u202e\x9b31m {'x' * 1_000_000}"
"""Text that is long, moves a terminal's cursor, and has a key in it."""
HOSTILE_LINES = f"b'Set-Cookie: id={COOKIE}\\r\\n' {HOSTILE}"
"""The same behind a header as Python writes it."""


def assert_quoted(message: object, limit: int = 700) -> None:
    """Check that a message is one printable line of bounded length that quotes such a text without its secrets."""
    assert isinstance(message, str)
    assert len(message) <= limit
    assert message.isprintable()
    assert KEY not in message
    assert COOKIE not in message
    assert "xxx" in message
