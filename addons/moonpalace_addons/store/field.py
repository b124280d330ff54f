"""One field of a call: its meaning in both languages, and how it is read, shown, redacted and exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from moonpalace_addons.store.exchange import Exchange

type Kind = Literal["text", "whole", "decimal", "truth", "moment", "set", "headers", "json", "words"]
"""What a field holds: `set` is a set of texts, `json` a body, `words` can only be searched."""

type Fit = Literal["whole", "shorten", "cut"]
"""How cells fit a narrow terminal: not at all, without their middle, or without their end."""

NANOSECOND = 1
MILLISECOND = 1_000_000

FITS: Mapping[Kind, Fit] = {"text": "shorten", "set": "cut", "headers": "cut", "json": "cut"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its meaning in one line, in English and in Chinese, and where it comes from.

    A stored field is described by the default of an attribute of `Exchange`; `fields.py` adds its `column`, its `kind`
    if the attribute's type tells it, and its `name` unless that differs. A derived field comes `after` another one in
    the catalogue, and has `sql`, an expression that both databases understand, and `value`, the same in Python.

    How it is shown: `section` begins a section of `mpal help columns`. `also` are further documented names, separated
    by spaces; that of the column is always one. `metadata` are the names in the metadata of `inspect` and `export`,
    True for the field's own. `unit` is the unit of a duration in nanoseconds, in which columns have it, and `least` the
    shortest duration that makes sense. `width` is the usual width of its values.

    What leaves the machine: redaction replaces what identifies people, accounts and keys in every text that is not
    `public`, as kinds of errors are, and IDs that support needs. `place` is what it calls the text if not by the
    field's name: the part of the call, and after a comma the header or member. Exports have headers, bodies and what
    `metadata` names, and imports derive the rest; what does not follow from these is `carried`, as each duration is
    unless it says that it is not.
    """

    meaning: str
    chinese: str
    name: str = ""
    kind: Kind = "text"
    section: str = ""
    also: str = ""
    sql: str = ""
    value: Callable[[Exchange], object] | None = None
    unit: int | None = None
    least: int = 0
    fit: Fit | None = None
    width: int = 8
    metadata: str | Literal[True] = ""
    public: bool = False
    place: str = ""
    carried: bool | None = None
    column: str = ""
    after: str = ""

    @property
    def source(self) -> str:
        """The column of `exchanges`; of a derived field its name."""
        return self.column or self.name

    @property
    def metadata_names(self) -> list[str]:
        """The names in the metadata of `inspect` and `export`."""
        return [self.name] if self.metadata is True else self.metadata.split()

    @property
    def is_carried(self) -> bool:
        """Return whether exports have it because it does not follow from headers and bodies."""
        return self.unit is not None if self.carried is None else self.carried

    @property
    def is_sortable(self) -> bool:
        """Return whether calls can be sorted by it."""
        return self.kind not in ("headers", "json", "words")

    @property
    def fitting(self) -> Fit:
        """How its cells fit a narrow terminal."""
        return self.fit or FITS.get(self.kind, "whole")

    def of(self, call: Exchange) -> object:
        """Return its value for a call; not for tags and bodies, which are read separately."""
        return self.value(call) if self.value else getattr(call, self.source)


def stored(meaning: str, chinese: str, **facts: Any) -> Any:
    """Return the description of a stored field, arguments of `Field`, as the default of an attribute of any type."""
    return {"meaning": meaning, "chinese": chinese, **facts}


nanoseconds = partial(stored, unit=NANOSECOND)
long = partial(nanoseconds, least=MILLISECOND)
milliseconds = partial(stored, unit=MILLISECOND)
