"""Tests of the parameters of a request."""

from moonpalace_addons.views.chat_text import plain_text
from moonpalace_addons.views.parameters import parameter_lines


def shown(request: dict[str, object]) -> str:
    """Return the parameters as text."""
    return plain_text(parameter_lines(request))


def test_short_ones_share_a_line() -> None:
    """Parts that the conversation shows are left out; values are those of the JSON."""
    request: dict[str, object] = {"model": "kimi-k3", "stream": True, "stop": None, "messages": [], "tools": [{}]}
    assert shown(request) == "model kimi-k3 · stream true · stop null"


def test_long_ones_are_laid_out() -> None:
    """A schema is indented JSON, a long text is complete, and data is described."""
    format_ = {"type": "json_object", "image": "data:image/png;base64," + "A" * 4000}
    assert shown({"response_format": format_, "model": "m"}).split("\n") == [
        "model m",
        "response_format",
        "  {",
        '      "type": "json_object",',
        '      "image": "[image/png, 3.0 kB]"',
        "  }",
    ]
    assert shown({"user": "x" * 100}) == "user\n  " + "x" * 100


def test_hostile_names() -> None:
    """Names and values contain no control characters."""
    assert "\x1b" not in shown({"a\x1b[2J": "b\x1b[2J\u202e"})
    assert shown({}) == ""
