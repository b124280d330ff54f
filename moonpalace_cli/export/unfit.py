"""The reason why a call does not fit a format."""


class UnfitError(Exception):
    """Raised with the reason why a call is skipped; the message continues "call 5 "."""
