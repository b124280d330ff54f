"""Reading mitmproxy's headers."""

import pytest

from moonpalace_addons.mitm.headers import media_type


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        (" text/event-stream ;x", "text/event-stream"),
        ("", None),
        (None, None),
    ],
)
def test_media_type(content_type: str | None, expected: str | None) -> None:
    """A media type has neither parameters nor upper case."""
    assert media_type(content_type) == expected
