"""Reading mitmproxy's headers."""

import pytest
from mitmproxy.test import tutils

from moonpalace_addons.mitm.headers import media_type, set_host


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


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"HTTP/3"])
@pytest.mark.parametrize("has_host", [True, False])
def test_set_host(version: bytes, *, has_host: bool) -> None:
    """It does what mitmproxy's property does, in each version."""
    ours, theirs = (tutils.treq(http_version=version, authority=b"a") for _ in range(2))
    for request in (ours, theirs):
        request.headers.pop("host", None)
        if has_host:
            request.headers["host"] = "before"
    set_host(ours, b"api:9")
    theirs.host_header = b"api:9"
    assert ours.get_state() == theirs.get_state()
