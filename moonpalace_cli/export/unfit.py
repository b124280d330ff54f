"""The reason why a call has no place in a format."""


class UnfitError(Exception):
    """Say why a call is left out; the text goes on after "call 5 "."""
