"""Tests of e-mail against a real SMTP server, with TLS and a password."""

import asyncio
import email.policy
import gzip
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from moonpalace_addons.settings.reports import Destination
from moonpalace_cli.mock.certificate import Certificate
from moonpalace_cli.reporting.message import Message
from moonpalace_cli.reporting.outcome import InDoubt, Later, Outcome, Refused, Sent
from moonpalace_cli.reporting.receivers import mail
from moonpalace_cli.reporting.receivers.table import receiver

# With TLS from the first byte the server cannot know that there is TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

PASSWORD = "hunter2-0123456789"
DOCUMENT = '{"metadata": {"moonpalace_id": "13"}, "text": "你好"}'
MESSAGE = Message(
    "Bad case: kimi-k3: 你好\r\nBcc: x@evil", "## Call\n\n你好", "", DOCUMENT, 13, "chatcmpl-1", marker="ab" * 16
)
MARK = f"<moonpalace-{MESSAGE.marker}@example.com>"


@dataclass(slots=True)
class Mailbox:
    """A server's received messages, and its answers."""

    taken: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    port: int = 0

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:  # noqa: N802
        """Accept a recipient, or refuse it."""
        envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, server: Any, _: Any, envelope: Any) -> str:  # noqa: N802
        """Accept a text, refuse it, or disconnect after it was read."""
        answer = self.answers.get("DATA", "250 OK")
        if answer.startswith("250") or answer == "broken":
            self.taken.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
            self.recipients += envelope.rcpt_tos
        if answer == "broken":
            server.transport.abort()
        return answer


def authenticated(_: Any, __: Any, ___: Any, ____: Any, data: Any) -> AuthResult:
    """Check a password."""
    return AuthResult(success=isinstance(data, LoginPassword) and data.password == PASSWORD.encode(), handled=False)


@contextmanager
def serving(box: Mailbox, context: ssl.SSLContext | None = None, *, implicit: bool = False) -> Iterator[None]:
    """Serve a mailbox with TLS, STARTTLS, or neither."""
    secured: dict[str, Any] = {"require_starttls": not implicit, "authenticator": authenticated, "auth_required": True}
    options: dict[str, Any] = secured | {"auth_require_tls": not implicit, "tls_context": None if implicit else context}
    loop = asyncio.new_event_loop()

    def smtp() -> SMTP:
        return SMTP(box, loop=loop, **(options if context else {}))

    server = loop.run_until_complete(loop.create_server(smtp, "127.0.0.1", 0, ssl=context if implicit else None))
    box.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@pytest.fixture(params=["starttls", "implicit"])
def mailbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """Return the mailbox of a server with a certificate that clients trust."""
    certificate, box, implicit = Certificate(), Mailbox(), request.param == "implicit"
    monkeypatch.setenv("SSL_CERT_FILE", certificate.ca_file)
    with serving(box, certificate.context(), implicit=implicit):
        if implicit:
            monkeypatch.setattr(mail, "TLS_PORT", box.port)
        yield box
    certificate.close()


def sent(box: Mailbox, message: Message = MESSAGE, **changes: str) -> Outcome:
    """Send a report to the server; return the outcome."""
    options = {"from": "me@example.com", "server": f"127.0.0.1:{box.port}", "user": "me", "password": "env:P"} | changes
    to = "api-feedback@moonshot.cn, copy@example.com"
    return receiver(Destination("kimi", "mail", to, options), {"P": PASSWORD}).send(message)


def test_an_email(mailbox: Mailbox) -> None:
    """It has the report as its text, the documented JSON attached, and its own id; a title adds no header."""
    assert sent(mailbox) == Sent(MARK)
    (mail_,) = mailbox.taken
    assert mailbox.recipients == ["api-feedback@moonshot.cn", "copy@example.com"]
    assert (mail_["Subject"], mail_["Message-ID"], mail_["Bcc"]) == ("Bad case: kimi-k3: 你好  Bcc: x@evil", MARK, None)
    text, attached = mail_.iter_parts()
    assert text.get_content().split() == MESSAGE.text.split()
    assert attached.get_filename() == "chatcmpl-1-abababab.json"
    assert attached.get_payload(decode=True) == DOCUMENT.encode()


def test_a_large_document(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long document is compressed; the text says if it is too long even so."""
    large = replace(MESSAGE, document=json.dumps(["x" * 2_000_000]))
    assert isinstance(sent(mailbox, large), Sent)
    _, attached = mailbox.taken[0].iter_parts()
    assert attached.get_filename() == "chatcmpl-1-abababab.json.gz"
    assert gzip.decompress(attached.get_payload(decode=True)) == large.document.encode()  # type: ignore[arg-type]
    monkeypatch.setattr(mail, "MAX_COMPRESSED", 100)
    assert isinstance(sent(mailbox, large), Sent)
    assert "too large to be attached" in mailbox.taken[1].get_content()


ANSWERS = [
    ({"RCPT": "550 No such user"}, Refused),
    ({"RCPT": "451 Greylisted"}, Later),
    ({"DATA": "554 Looks like spam"}, Refused),
    ({"DATA": "452 Disk full"}, Later),
    ({"DATA": "broken"}, InDoubt),
]


@pytest.mark.parametrize(
    ("answers", "outcome"), ANSWERS, ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else ""
)
def test_what_answers_mean(mailbox: Mailbox, answers: dict[str, str], outcome: type) -> None:
    """5xx is a refusal, 4xx may be repeated, and a connection that breaks after the text is in doubt."""
    mailbox.answers |= answers
    result = sent(mailbox)
    assert type(result) is outcome
    assert len(mailbox.taken) == (outcome is InDoubt)


def test_a_wrong_password(mailbox: Mailbox) -> None:
    """It is refused, and the message does not repeat it."""
    result = sent(mailbox, password="wrong-password")
    assert isinstance(result, Refused)
    assert "535" in result.reason
    assert "wrong-password" not in result.reason


def test_a_certificate_that_nobody_knows(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a password nor a text is sent to a server with an untrusted certificate."""
    monkeypatch.delenv("SSL_CERT_FILE")
    result = sent(mailbox)
    assert isinstance(result, Later)
    assert "its certificate is not trusted" in result.reason
    assert mailbox.taken == []


def test_a_server_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote server without STARTTLS gets nothing; a local one does, as a relay."""
    box = Mailbox()
    with serving(box):
        options = {"from": "me@example.com", "server": f"127.0.0.1:{box.port}"}
        there = receiver(Destination("d", "mail", "a@example.com", options), {})
        assert isinstance(there.send(MESSAGE), Sent)
        monkeypatch.setattr(mail, "is_loopback", lambda _: False)
        result = there.send(MESSAGE)
        assert not isinstance(result, Sent)
        assert "STARTTLS" in result.reason
        assert len(box.taken) == 1


def test_nobody_is_there() -> None:
    """Then it may be tried later."""
    box = Mailbox(port=1)
    result = sent(box)
    assert isinstance(result, Later)
    assert "127.0.0.1:1" in result.reason
