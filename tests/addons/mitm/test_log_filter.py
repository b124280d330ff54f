"""Secrets in mitmproxy's own log."""

import logging

import pytest
from mitmproxy.addons.errorcheck import ErrorCheck
from mitmproxy.http import Headers

from moonpalace_addons.mitm import log_filter
from moonpalace_addons.mitm.log_filter import LOGGERS, MaskSecrets
from tests.tables import for_each

KEY = "sk-the-secret-key"
HEAD = f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nAccept: y\r\n\r\n".encode()


def masked(message: str, *arguments: object) -> str:
    """Return a message after the filter."""
    record = logging.LogRecord("x", logging.INFO, "x", 1, message, arguments, None)
    assert MaskSecrets().filter(record)
    return record.getMessage()


@for_each(
    ("message", "expected"),
    [
        (f"Authorization: Bearer {KEY}", "Authorization: ***"),
        (f"authorization={KEY}", "authorization=***"),
        (f"Proxy-Authorization : Basic {KEY}\nnext", "Proxy-Authorization : ***\nnext"),
        (f"X-Api-Key: {KEY}\r\nHost: x", "X-Api-Key: ***\r\nHost: x"),
        (f"Cookie: a={KEY}; b={KEY}", "Cookie: ***"),
        (f"Set-Cookie: a={KEY}", "Set-Cookie: ***"),
        (f"X-Auth-Token: {KEY}", "X-Auth-Token: ***"),
        (f"{{'authorization': '{KEY}'}}", "{'authorization': '***"),
        ("an invalid request: authorization failed", "an invalid request: authorization failed"),
        ("100% of cookies", "100% of cookies"),
        ("a\x1b[2J \u202eb\rc\n月", "a [2J  b c\n月"),
        ("x" * 8_000_000, "x" * 4000 + "…"),
        ("Helicone-Auth: short", "Helicone-Auth: ***"),
        ("no such file: sk-9fR2kLmQ8vXc0TzB4nYd", f"no such file: {'*' * 23}"),
    ],
)
def test_mask(message: str, expected: str) -> None:
    """The text after the name of a secret header is masked to the end of its line; other text is unchanged."""
    assert masked(message) == expected


def test_buffer_in_repr() -> None:
    """In the repr of a buffer, where line ends are escaped, only the secret is masked."""
    assert masked("Client closed connection: %r", HEAD) == (
        r"Client closed connection: b'GET / HTTP/1.1\r\nHost: x\r\nAuthorization: ***\r\nAccept: y\r\n\r\n'"
    )


def test_headers_in_repr() -> None:
    """In the repr of mitmproxy's headers and of lists of pairs, the secret is masked, too."""
    for shown in (Headers([(b"authorization", KEY.encode())]), [("X-Api-Key", KEY)], {"cookie": KEY}):
        assert KEY not in masked("%r", shown)


def test_install_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Installing it several times adds one working filter to each logger."""
    for name in LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
    log_filter.install()
    log_filter.install()
    for name in LOGGERS:
        assert len(logging.getLogger(name).filters) == 1
        logging.getLogger(name).warning("%r", HEAD)
    assert len(caplog.messages) == len(LOGGERS)
    assert KEY not in caplog.text


def test_which_errors_end_mitmdump() -> None:
    """An error of ours that does not concern the start is ignored by mitmproxy's error checks."""
    check = ErrorCheck()
    try:
        log_filter.install()
        logging.getLogger("moonpalace_addons.store.write.writer").error("store: call 7 is kept in …")
        assert check.logger.has_errored == []
        logging.getLogger("moonpalace").error("Error: the proxy listens on …")
        logging.getLogger("mitmproxy.addons.script").error("error in script …")
        assert len(check.logger.has_errored) == 2
    finally:
        check.finish()
