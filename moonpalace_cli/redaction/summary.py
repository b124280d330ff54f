"""Report what a redaction replaced, and odd-looking text that it kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from moonpalace_cli.redaction.replacing import Place

KINDS = {
    "secret": ("{count} secret", "{count} secrets", "{count} 个密钥"),
    "account": ("{count} account", "{count} accounts", "{count} 个账号"),
    "user": ("{count} user", "{count} users", "{count} 个用户"),
    "email": ("{count} e-mail address", "{count} e-mail addresses", "{count} 个邮箱地址"),
    "phone": ("{count} phone number", "{count} phone numbers", "{count} 个电话号码"),
    "identity": ("{count} identity number", "{count} identity numbers", "{count} 个身份证号"),
    "card": ("{count} bank card", "{count} bank cards", "{count} 个银行卡号"),
    "host": ("{count} private host", "{count} private hosts", "{count} 个内网主机"),
    "match": (
        "{count} match of redact-pattern",
        "{count} matches of redact-pattern",
        "{count} 处与 redact-pattern 匹配",
    ),
}
"""What kinds are called: one, several, and both in Chinese."""
FILE = ("{count} file", "{count} files", "{count} 个文件")
REPLACED = "replaced: {what}"
KEPT = "kept, though it looks random: {what}"
KEPT_TEXT = "{beginning}… ({size} characters) in the {place}"
COMMA = ", "
MORE = "{what} and {count} more"
ODD = re.compile(r"(?<![A-Za-z0-9_+/=.-])[A-Za-z0-9_+/=-]{24,}")
KNOWN_IDS = re.compile(
    r"(?:chatcmpl|cmpl|resp|msg|call|toolu|fc|rs|item|req|run|asst|thread|file|batch|cache|srvtoolu|sig)[_-].*"
    r"|[0-9a-f-]{24,}|[0-9A-F-]{24,}"
)
"""IDs of the API, and hexadecimal numbers."""
MAX_SHOWN = 3
MAX_CHECKED = 100_000
"""Characters of a text in which odd strings are looked for."""


@dataclass(slots=True)
class Summary:
    """The values replaced, by kind, and the odd strings kept, each with its place."""

    replaced: dict[str, set[int]] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)

    def count(self, kind: str, value: str) -> None:
        """Note a value that is replaced; the same one counts once."""
        self.replaced.setdefault("file" if "/" in kind else kind, set()).add(hash(value))

    def look(self, place: Place, text: str, replaced: Sequence[tuple[int, int, str]]) -> None:
        """Note strings that look random and are kept."""
        if len(text) > MAX_CHECKED or place.part.endswith("header"):
            return
        for match in ODD.finditer(text):
            is_replaced = any(start < match.end() and match.start() < end for start, end, _ in replaced)
            if not is_replaced and is_odd(match[0]):
                self.odd.setdefault(match[0], str(place))

    def lines(self, translate: Callable[..., str] = str.format) -> list[str]:
        """Return the summary; nothing if nothing was replaced or odd. `translate` fills in values, too."""
        counts = sorted(((len(values), kind) for kind, values in self.replaced.items()), reverse=True)
        words = [translate(KINDS.get(kind, FILE)[count != 1], count=f"{count:,}") for count, kind in counts]
        lines = [translate(REPLACED, what=translate(COMMA).join(words))] if words else []
        if self.odd:
            shown = [
                translate(KEPT_TEXT, beginning=text[:4], size=len(text), place=place)
                for text, place in [*self.odd.items()][:MAX_SHOWN]
            ]
            what, more = "; ".join(shown), len(self.odd) - len(shown)
            what = translate(MORE, what=what, count=f"{more:,}") if more else what
            lines.append(translate(KEPT, what=what))
        return lines


def is_odd(text: str) -> bool:
    """Tell whether a string looks random: letters of both cases and digits, and no known ID."""
    kinds = (any(map(str.isupper, text)), any(map(str.islower, text)), sum(map(str.isdigit, text)) > 2)
    return all(kinds) and KNOWN_IDS.fullmatch(text) is None
