"""The interface of a place in a JSON document, common to both databases."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import ColumnElement

from moonpalace_addons.store.query.values import Expression


class Node(Protocol):
    """A place in a document, as SQL: a JSON value or nothing."""

    @property
    def exists(self) -> ColumnElement[bool]:
        """The condition that there is a value other than null."""

    @property
    def is_text(self) -> ColumnElement[bool]:
        """The condition that the value is a string, an array or an object."""

    @property
    def is_number(self) -> ColumnElement[bool]:
        """The condition that the value is a number."""

    def is_truth(self, truth: bool) -> ColumnElement[bool]:
        """Return the condition that the value is this boolean."""

    @property
    def text(self) -> ColumnElement[str]:
        """The text, valid if `is_text`."""

    @property
    def number(self) -> Expression:
        """The number, valid if `is_number`."""

    @property
    def length(self) -> ColumnElement[int]:
        """The number of elements, members or characters; NULL for other values."""
