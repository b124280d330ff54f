"""Parts of config.yaml whose keys the user chooses, with the place of each for error messages."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from moonpalace_addons.errors import SettingError
from moonpalace_addons.wire.suggestions import nearest

FREE = ("endpoints", "prices", "explain", "reports", "rules")
"""The parts of config.yaml that are read as entries."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A text, or a mapping of keys to entries; `where` names the file, the line and the keys that lead to it."""

    where: str
    text: str | None = field(default=None, repr=False)
    members: "Mapping[str, Entry]" = field(default_factory=dict)

    def fail(self, what: str) -> NoReturn:
        """Raise SettingError for this entry."""
        raise SettingError(f"{self.where} {what}")

    def scalar(self, allowed: str) -> str:
        """Return the text; raise SettingError for a mapping or nothing."""
        if self.text is None or not self.text.strip():
            self.fail(f"must be {allowed}")
        return self.text.strip()

    def mapping(self, allowed: str, keys: Collection[str] = ()) -> "Mapping[str, Entry]":
        """Return the members, which have only these keys if any are given; raise SettingError for anything else."""
        if self.text is not None or not self.members:
            self.fail(f"must be {allowed}")
        for name, member in self.members.items():
            if keys and name not in keys:
                member.fail(
                    f"is unknown; the closest is {nearest(name, keys, 1, 0.0)[0]}, of {', '.join(sorted(keys))}"
                )
        return self.members
