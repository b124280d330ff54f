"""The recorded answers in `tests/data/dialects`: lines with the source, the answer as sent, and the expected result.

`row` are columns of the call, `warnings` parts of its warnings, one of each; `answer` is the merged or parsed answer.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PLACE = Path(__file__).parent / "data" / "dialects"
_END = "----\n"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One recorded answer."""

    data: bytes
    answer: Any
    row: dict[str, Any]
    warnings: list[str]

    @property
    def is_stream(self) -> bool:
        """Return whether it is an event stream."""
        return self.data[:1] in (b"d", b"e", b":")


def _read(file: Path) -> Dialect:
    source, text = file.read_text("utf-8").split("\n", 1)
    assert source.startswith("# "), file
    data, expected = text.split(_END)
    return Dialect(data.encode(), **json.loads(expected))


DIALECTS = {file.stem: _read(file) for file in sorted(_PLACE.glob("*.txt"))}
STREAMS = {name: dialect for name, dialect in DIALECTS.items() if dialect.is_stream}
