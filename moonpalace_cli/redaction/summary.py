"""Say what a redaction replaced, and what looks odd and was kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from moonpalace_cli.redaction.replacing import Place

NAMES = {
    "secret": ("secret", "secrets"),
    "account": ("account", "accounts"),
    "user": ("user", "users"),
    "email": ("e-mail address", "e-mail addresses"),
    "phone": ("phone number", "phone numbers"),
    "identity": ("identity number", "identity numbers"),
    "card": ("bank card", "bank cards"),
    "host": ("private host", "private hosts"),
    "match": ("match of redact-pattern", "matches of redact-pattern"),
}
"""What kinds are called."""
FILE = ("file", "files")
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

    def lines(self) -> list[str]:
        """Return the summary; nothing if nothing was replaced or odd."""
        counts = sorted(((len(values), kind) for kind, values in self.replaced.items()), reverse=True)
        words = [f"{count:,} {NAMES.get(kind, FILE)[count != 1]}" for count, kind in counts]
        lines = [f"replaced: {', '.join(words)}"] if words else []
        if self.odd:
            shown = [f"{text[:4]}… ({len(text)} characters) in the {place}" for text, place in self.odd.items()]
            more = f" and {len(shown) - MAX_SHOWN:,} more" if len(shown) > MAX_SHOWN else ""
            lines.append(f"kept, though it looks random: {'; '.join(shown[:MAX_SHOWN])}{more}")
        return lines


def is_odd(text: str) -> bool:
    """Tell whether a string looks random: letters of both cases and digits, and no known ID."""
    kinds = (any(map(str.isupper, text)), any(map(str.islower, text)), sum(map(str.isdigit, text)) > 2)
    return all(kinds) and KNOWN_IDS.fullmatch(text) is None
