"""E-mail by SMTP, over TLS, with the call's JSON attached."""

from __future__ import annotations

import gzip
import smtplib
import threading
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING

from moonpalace_addons.settings.kinds import is_loopback
from moonpalace_addons.wire.json_text import JSON_ESCAPES
from moonpalace_cli.outgoing.http import AGENT, reason, tls
from moonpalace_cli.reporting.outcome import InDoubt, Later, Outcome, Refused, Sent
from moonpalace_cli.reporting.receivers.receiver import kept_words

if TYPE_CHECKING:
    from moonpalace_cli.reporting.message import Message

PORT = 587
TLS_PORT = 465
"""The port at which TLS begins with the connection; at others STARTTLS begins it."""
STEP_TIMEOUT = 20.0
"""Seconds that each answer of the server may take."""
TIMEOUT = 100.0
"""Seconds that the whole dialogue may take."""
MAX_ATTACHMENT = 1_000_000
"""Bytes of JSON that are attached uncompressed; more is compressed."""
MAX_COMPRESSED = 15_000_000
"""Bytes of an attachment: many servers take messages of 25 MB, and base64 adds a third."""
SERVICE_READY = 2


@dataclass(frozen=True, slots=True)
class Mail:
    """A mailbox, or several; `server` is a host with its port."""

    to: tuple[str, ...]
    sender: str
    server: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    can_find = False

    @property
    def place(self) -> str:
        """Return its name for people."""
        return f"an e-mail to {', '.join(self.to)}"

    def find(self, marker: str, since: datetime) -> str | None:
        """Return None: a mailbox cannot be asked."""
        del marker, since
        return None

    def send(self, message: Message) -> Outcome:
        """Send an e-mail. Before the server has the text, nothing can have arrived; afterwards its answer decides."""
        try:
            with self._connected() as connection:
                timer = threading.Timer(TIMEOUT, hang_up, (connection,))
                timer.daemon = True
                timer.start()
                try:
                    return self._delivered(connection, message)
                finally:
                    timer.cancel()
        except smtplib.SMTPResponseException as error:
            return self._judged(error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            return Later(f"{self.server}: {self._words(error)}")

    def _connected(self) -> smtplib.SMTP:
        host, port = address(self.server)
        me = "[127.0.0.1]"  # rather than this machine's name, whose lookup may take seconds
        if port == TLS_PORT:
            return smtplib.SMTP_SSL(host, port, me, timeout=STEP_TIMEOUT, context=tls())
        return smtplib.SMTP(host, port, me, timeout=STEP_TIMEOUT)

    def _delivered(self, connection: smtplib.SMTP, message: Message) -> Outcome:
        host, port = address(self.server)
        connection.ehlo()
        if port != TLS_PORT and (connection.has_extn("starttls") or not is_loopback(host)):
            connection.starttls(context=tls())
            connection.ehlo()
        if self.user is not None:
            connection.login(self.user, self.password or "")
        steps = [(connection.mail, (self.sender,)), *((connection.rcpt, (each,)) for each in self.to)]
        for step, arguments in steps:
            code, answer = step(*arguments)
            if code // 100 != SERVICE_READY:
                return self._judged(code, answer)
        text, marked = self.written(message)
        try:
            code, answer = connection.data(text)
        except smtplib.SMTPDataError as error:  # not 354: the server does not accept a text
            return self._judged(error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            return InDoubt(f"{self.server} got the text, but did not confirm it: {self._words(error)}")
        return Sent(marked) if code // 100 == SERVICE_READY else self._judged(code, answer)

    def written(self, message: Message) -> tuple[bytes, str]:
        """Return the e-mail and its Message-ID, which is the same however often it is sent."""
        mail = EmailMessage(policy=SMTP)
        marked = f"<moonpalace-{message.marker}@{self.sender.rpartition('@')[2]}>"
        mail["From"] = Address(addr_spec=self.sender)
        mail["To"] = [Address(addr_spec=each) for each in self.to]
        mail["Subject"] = "".join(each if each.isprintable() else " " for each in message.title)
        mail["Date"] = format_datetime(datetime.now().astimezone())
        mail["Message-ID"] = marked
        mail["User-Agent"] = AGENT
        mail.set_content(printable(message.text))
        attach(mail, message)
        return mail.as_bytes(), marked

    def _judged(self, code: int, answer: bytes | str) -> Outcome:
        text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
        words = kept_words(text, [self.password or ""])
        description = f"{self.server} answers {code} {words}".rstrip()
        return Later(description) if code // 100 == 4 or code < 0 else Refused(description)

    def _words(self, error: Exception) -> str:
        text = (
            reason(error) if isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException) else str(error)
        )
        return kept_words(text, [self.password or ""])


def hang_up(connection: smtplib.SMTP) -> None:
    """Close a connection that takes too long."""
    if connection.sock is not None:
        connection.sock.shutdown(2)


def address(server: str) -> tuple[str, int]:
    """Return host and port of a server."""
    host, _, port = server.rpartition(":") if ":" in server.rpartition("]")[2] else (server, "", "")
    return host.strip("[]"), int(port or PORT)


def printable(text: str) -> str:
    """Return a text that UTF-8 and SMTP can represent."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def attach(mail: EmailMessage, message: Message) -> None:
    """Attach the call's JSON, compressed if it is long; mention it if it is too long."""
    data, name = message.document.encode("utf-8", JSON_ESCAPES), f"{message.stem}.json"
    kind = "json"
    if len(data) > MAX_ATTACHMENT:
        data, name, kind = gzip.compress(data, mtime=0), f"{name}.gz", "gzip"
    if len(data) <= MAX_COMPRESSED:
        mail.add_attachment(data, maintype="application", subtype=kind, filename=name)
        return
    mail.set_content(printable(f"{message.text}\n\nThe call's JSON is too large to be attached ({len(data):,} bytes)."))
