"""Webhooks: plain JSON, Slack, Feishu and DingTalk. None of them can be asked whether a report has arrived.

Slack       https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
Feishu      https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
DingTalk    https://open.dingtalk.com/document/robots/customize-robot-security-settings
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from moonpalace_addons.wire.json_value import mapping, parse
from moonpalace_cli.reporting.outcome import InDoubt, Later, Outcome, Refused, Sent
from moonpalace_cli.reporting.receivers.receiver import json_request, posted, words_of

if TYPE_CHECKING:
    from moonpalace_cli.outgoing.http import Request, Response
    from moonpalace_cli.reporting.message import Message

MAX_CHAT = 3_500
"""Maximum characters of a message in a chat: Slack shows 4,000, Feishu and DingTalk accept 20 KB of UTF-8."""
MIN_SECRET = 8
"""Minimum characters of a part of a URL that may be a token."""
FEISHU_TOO_FAST = 11232
DINGTALK_TOO_FAST = 130101
DINGTALK_PAUSE = 600.0
"""Seconds for which DingTalk rejects messages after too many of them."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook that accepts JSON; `secret` is its token, or the key of its signatures."""

    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)

    can_find = False
    site = "a webhook"

    @property
    def place(self) -> str:
        """Return its name for people, without the path, which may be a secret."""
        return f"{self.site} at {urlsplit(self.url).hostname}"

    @property
    def secrets(self) -> Iterable[str]:
        """The texts that no message may repeat: the URL and its parts, and the secret; longest first."""
        parts = urlsplit(self.url)
        pieces = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
        texts = [text for text in (self.url, parts.path, parts.query, self.secret) if text and len(text) > 1]
        return sorted({*texts, *(piece for piece in pieces if len(piece) >= MIN_SECRET)}, key=len, reverse=True)

    def send(self, message: Message) -> Outcome:
        """Send a report."""
        return posted(self.request(message), self.judge, self.secrets)

    def find(self, marker: str, since: datetime) -> str | None:
        """Return None: a webhook cannot be asked."""
        del marker, since
        return None

    def request(self, message: Message) -> Request:
        """Return the request for a report: title, text and the call's JSON, with an idempotency key."""
        body = {"id": message.marker, "title": message.title, "text": message.text, "calls": message.calls}
        headers = {"Idempotency-Key": message.marker}
        if self.secret:
            headers["Authorization"] = f"Bearer {self.secret}"
        return json_request(self.url, {**body, "call": json.loads(message.document)}, headers)

    def judge(self, response: Response) -> Outcome:
        """Return the meaning of a successful status."""
        del response
        return Sent(self.place)


class Slack(Webhook):
    """An incoming webhook of Slack."""

    __slots__ = ()
    site = "Slack"

    def request(self, message: Message) -> Request:
        """Return a plain message without mentions or links."""
        text = chat_text(message)
        for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(character, entity)
        return json_request(self.url, {"text": text, "mrkdwn": False, "unfurl_links": False})


class Feishu(Webhook):
    """A bot of Feishu or Lark."""

    __slots__ = ()
    site = "Feishu"

    def request(self, message: Message) -> Request:
        """Return a plain message without mentions, signed if there is a secret."""
        body: dict[str, object] = {"msg_type": "text", "content": {"text": chat_text(message).replace("<", "＜")}}
        if self.secret:
            seconds = str(int(time.time()))
            body |= {"timestamp": seconds, "sign": signature(f"{seconds}\n{self.secret}", "")}
        return json_request(self.url, body)

    def judge(self, response: Response) -> Outcome:
        """Return the meaning of the code in an answer."""
        return self.by_code(response, ("code", "StatusCode"), FEISHU_TOO_FAST, None)

    def by_code(self, response: Response, names: Iterable[str], too_fast: int, pause: float | None) -> Outcome:
        """Return the meaning of the first of these members in an answer: 0 is a success."""
        answer = mapping(parse(response.body))
        code = next((answer[name] for name in names if name in answer), None)
        description = f"{self.site} answers {words_of(response.body, self.secrets) or 'in an unknown form'}"
        if code == 0:
            return Sent(self.place)
        if code is None:
            return InDoubt(description)
        return Later(f"{description} ({code})", pause) if code == too_fast else Refused(f"{description} ({code})")


class DingTalk(Feishu):
    """A robot of DingTalk."""

    __slots__ = ()
    site = "DingTalk"

    def request(self, message: Message) -> Request:
        """Return a plain message without mentions, signed if there is a secret."""
        body = {"msgtype": "text", "text": {"content": chat_text(message)}, "at": {"isAtAll": False}}
        url = self.url
        if self.secret:
            moment = str(int(time.time() * 1000))
            signed = {"timestamp": moment, "sign": signature(self.secret, f"{moment}\n{self.secret}")}
            url += ("&" if "?" in url else "?") + urlencode(signed)
        return json_request(url, body)

    def judge(self, response: Response) -> Outcome:
        """Return the meaning of the code in an answer."""
        return self.by_code(response, ("errcode",), DINGTALK_TOO_FAST, DINGTALK_PAUSE)


def signature(key: str, text: str) -> str:
    """Return the HMAC of a text in base64."""
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), hashlib.sha256)).decode()


def chat_text(message: Message) -> str:
    """Return the report as chat text; the name at its beginning serves as a keyword that a bot may require."""
    text = f"MoonPalace: {message.title}\n{message.brief}\nreport {message.marker}"
    return text if len(text) <= MAX_CHAT else text[: MAX_CHAT - 1] + "…"
