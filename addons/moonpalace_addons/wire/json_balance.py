"""Know of JSON that arrives in pieces whether it has come to its end: by its brackets, quotes and escapes alone."""

import re

_MARKS = re.compile(r'\\.|[\\"{}[\]]', re.DOTALL)


class Balance:
    """Follow one text; time is linear in what is fed, memory is constant. `size` counts the characters."""

    __slots__ = ("_depth", "_in_string", "_is_escaped", "_is_opened", "size")

    def __init__(self) -> None:
        self.size = 0
        self._depth = 0
        self._in_string = False
        self._is_escaped = False
        self._is_opened = False

    @property
    def is_complete(self) -> bool:
        """Tell whether an object or a list was opened, and all that was is closed."""
        return self._is_opened and self._depth <= 0 and not self._in_string

    def feed(self, text: str) -> None:
        """Take in the next piece."""
        self.size += len(text)
        if self._is_escaped and text:
            text, self._is_escaped = text[1:], False
        for mark in _MARKS.findall(text):
            if mark == '"':
                self._in_string = not self._in_string
            elif mark == "\\":
                self._is_escaped = True
            elif not self._in_string and mark in "{}[]":
                self._depth += 1 if mark in "{[" else -1
                self._is_opened = True
