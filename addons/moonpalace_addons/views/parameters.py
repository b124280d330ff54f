"""The model and the parameters of a request, as lines."""

from collections.abc import Iterator, Mapping

from moonpalace_addons.views.chat_text import Line, harmless, lines
from moonpalace_addons.wire.placeholders import as_json

SAID = frozenset({"messages", "input", "instructions", "prompt", "system", "tools"})
"""Parameters that are part of the conversation."""
MAX_LENGTH = 80
"""Maximum characters of a value that shares a line with others."""


def parameter_lines(request: Mapping[str, object]) -> Iterator[Line]:
    """Yield the parameters of a request: short values in one line, then each longer value under its name."""
    shown = {str(name): value_text(value) for name, value in request.items() if name not in SAID}
    short = [f"{name} {text}" for name, text in shown.items() if is_short(text)]
    if short:
        yield Line(harmless(" · ".join(short)), "call")
    for name, text in shown.items():
        if not is_short(text):
            yield Line(harmless(name), "call")
            yield from lines(text, "code", "  ")


def value_text(value: object) -> str:
    """Format a parameter: a text as it is, any other value as JSON."""
    return value if isinstance(value, str) else as_json(value)


def is_short(text: str) -> bool:
    """Return whether a value is short enough to share a line."""
    return len(text) <= MAX_LENGTH and "\n" not in text
