"""Untrusted text with everything that our messages must not repeat, and a check of such messages."""

KEY = "sk-9fR2kLmQ8vXc0TzB4nYd"
COOKIE = "s3cret-of-the-server"
HOSTILE = f"{KEY} \x1b[2J\u202e\x9b31m {'x' * 1_000_000}"
"""Text that is long, contains control characters and a key."""
HOSTILE_LINES = f"b'Set-Cookie: id={COOKIE}\\r\\n' {HOSTILE}"
"""The same in a header, formatted by Python."""


def assert_quoted(message: object, limit: int = 700) -> None:
    """Check that a message is one printable line of bounded length that quotes such text without its secrets."""
    assert isinstance(message, str)
    assert len(message) <= limit
    assert message.isprintable()
    assert KEY not in message
    assert COOKIE not in message
    assert "xxx" in message
