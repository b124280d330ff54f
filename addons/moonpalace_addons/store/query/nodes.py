"""What a place in a JSON document is to the compiler, whatever the database."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import ColumnElement

from moonpalace_addons.store.query.values import Expression


class Node(Protocol):
    """A place in a document, in SQL: a value of JSON, or nothing."""

    @property
    def exists(self) -> ColumnElement[bool]:
        """Tell that there is something, and not null."""

    @property
    def is_text(self) -> ColumnElement[bool]:
        """Tell that there is a string, an array or an object."""

    @property
    def is_number(self) -> ColumnElement[bool]:
        """Tell that there is a number."""

    def is_truth(self, truth: bool) -> ColumnElement[bool]:
        """Tell that there is true, or that there is false."""

    @property
    def text(self) -> ColumnElement[str]:
        """The text there, which `is_text`."""

    @property
    def number(self) -> Expression:
        """The number there, which `is_number`."""

    @property
    def length(self) -> ColumnElement[int]:
        """How many elements, members or characters there are; NULL for what has none."""
