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

from moonpalace_cli.reporting.outcome import InDoubt, Later, Outcome, Refused, Sent
from moonpalace_cli.reporting.receivers.receiver import json_request, members, posted, words_of

if TYPE_CHECKING:
    from moonpalace_cli.outgoing.http import Request, Response
    from moonpalace_cli.reporting.message import Message

MAX_CHAT = 3_500
"""Characters of a message in a chat: Slack shows 4,000, Feishu and DingTalk take 20 KB of UTF-8."""
MIN_SECRET = 8
"""Characters of a part of a URL that may be a token."""
FEISHU_TOO_FAST = 11232
DINGTALK_TOO_FAST = 130101
DINGTALK_PAUSE = 600.0
"""Seconds for which DingTalk takes nothing after too many messages."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook that takes JSON; `secret` is its token, or the key of its signatures."""

    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)

    can_find = False
    site = "a webhook"

    @property
    def place(self) -> str:
        """Return its name for people; the path may be a secret."""
        return f"{self.site} at {urlsplit(self.url).hostname}"

    @property
    def secrets(self) -> Iterable[str]:
        """Return what no message may repeat: the URL and its parts, and the secret; the longest first."""
        parts = urlsplit(self.url)
        pieces = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
        whole = [text for text in (self.url, parts.path, parts.query, self.secret) if text and len(text) > 1]
        return sorted({*whole, *(piece for piece in pieces if len(piece) >= MIN_SECRET)}, key=len, reverse=True)

    def send(self, message: Message) -> Outcome:
        """Send a report."""
        return posted(self.request(message), self.judge, self.secrets)

    def find(self, marker: str, since: datetime) -> str | None:
        """Return nothing, as it cannot be asked."""
        del marker, since
        return None

    def request(self, message: Message) -> Request:
        """Return the request for a report: title, text and the call's JSON, with a key for receivers that compare."""
        told = {"id": message.marker, "title": message.title, "text": message.text, "calls": message.calls}
        headers = {"Idempotency-Key": message.marker}
        if self.secret:
            headers["Authorization"] = f"Bearer {self.secret}"
        return json_request(self.url, {**told, "call": json.loads(message.document)}, headers)

    def judge(self, response: Response) -> Outcome:
        """Return what a successful status means."""
        del response
        return Sent(self.place)


class Slack(Webhook):
    """An incoming webhook of Slack."""

    __slots__ = ()
    site = "Slack"

    def request(self, message: Message) -> Request:
        """Return a plain message, in which nothing is a mention or a link."""
        text = chat_text(message)
        for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(character, entity)
        return json_request(self.url, {"text": text, "mrkdwn": False, "unfurl_links": False})


class Feishu(Webhook):
    """A bot of Feishu or Lark."""

    __slots__ = ()
    site = "Feishu"

    def request(self, message: Message) -> Request:
        """Return a plain message, in which nothing is a mention, with a signature if there is a secret."""
        told: dict[str, object] = {"msg_type": "text", "content": {"text": chat_text(message).replace("<", "＜")}}
        if self.secret:
            seconds = str(int(time.time()))
            told |= {"timestamp": seconds, "sign": signature(f"{seconds}\n{self.secret}", "")}
        return json_request(self.url, told)

    def judge(self, response: Response) -> Outcome:
        """Return what the code in an answer means."""
        return self.by_code(response, ("code", "StatusCode"), FEISHU_TOO_FAST, None)

    def by_code(self, response: Response, names: Iterable[str], too_fast: int, pause: float | None) -> Outcome:
        """Return what the first of these members that an answer has means: 0 is a success."""
        answer = members(response.body)
        code = next((answer[name] for name in names if name in answer), None)
        said = f"{self.site} answers {words_of(response.body, self.secrets) or 'nothing that is known'}"
        if code == 0:
            return Sent(self.place)
        if code is None:
            return InDoubt(said)
        return Later(f"{said} ({code})", pause) if code == too_fast else Refused(f"{said} ({code})")


class DingTalk(Feishu):
    """A robot of DingTalk."""

    __slots__ = ()
    site = "DingTalk"

    def request(self, message: Message) -> Request:
        """Return a plain message, which mentions nobody, with a signature if there is a secret."""
        told = {"msgtype": "text", "text": {"content": chat_text(message)}, "at": {"isAtAll": False}}
        url = self.url
        if self.secret:
            moment = str(int(time.time() * 1000))
            signed = {"timestamp": moment, "sign": signature(self.secret, f"{moment}\n{self.secret}")}
            url += ("&" if "?" in url else "?") + urlencode(signed)
        return json_request(url, told)

    def judge(self, response: Response) -> Outcome:
        """Return what the code in an answer means."""
        return self.by_code(response, ("errcode",), DINGTALK_TOO_FAST, DINGTALK_PAUSE)


def signature(key: str, text: str) -> str:
    """Return the HMAC of a text in base64."""
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), hashlib.sha256)).decode()


def chat_text(message: Message) -> str:
    """Return the report as a chat shows it; the name at its beginning serves as a keyword that a bot may ask for."""
    text = f"MoonPalace: {message.title}\n{message.brief}\nreport {message.marker}"
    return text if len(text) <= MAX_CHAT else text[: MAX_CHAT - 1] + "…"
