"""Tests of invalid predicates, and of the optimizations that avoid reading bodies."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest

from moonpalace_addons.store.query import compiler as compiling
from moonpalace_addons.store.query import extracts, words
from moonpalace_addons.store.query.compiler import Compiler
from moonpalace_addons.store.query.errors import PredicateError
from moonpalace_addons.store.query.parser import parse
from moonpalace_addons.store.query.searching import exact
from moonpalace_addons.store.query.times import EXAMPLES
from moonpalace_addons.store.query.values import Condition
from tests.store.query.conftest import Calls
from tests.tables import for_each

NO_TIME = f"compare it with {EXAMPLES}"
KNOWN = "fields are status, state, model, request_body.…, response_body.…, tags, text, latency and others"
MISTAKES = [
    ("statuz == 200", 0, "there is no field statuz; did you mean status or state?"),
    ("id == 200 && requestbody.model == 'x'", 13,
     "there is no field requestbody; did you mean request_body, request_id or request_bytes?"),
    ("messages.0.role == 'x'", 0, "there is no field messages; did you mean request_body.messages?"),
    ("xyzzy", 0, f"there is no field xyzzy; {KNOWN}"),
    ("status.x == 1", 0, "status is a number and has no parts; request_body and response_body have"),
    ("tags.0 == 'x'", 0, "tags is a set of texts and has no parts; request_body and response_body have"),
    ("status == 'abc'", 10, "status is a number: compare it with one"),
    ("status == true", 10, "status is a number: compare it with one"),
    ("status == 2h", 10, "status is a number: compare it with one"),
    ("status > NULL", 9, "only == and != compare with true, false and NULL"),
    ("status ~ 4", 9, "~ takes a string"),
    ("status % 4", 9, "% takes a string"),
    ("model == true", 9, "model is text: compare it with a string"),
    ("is_stream == 1", 13, "is_stream is true or false: compare it with one of them by == or !="),
    ("is_stream > 1", 12, "is_stream is true or false: compare it with one of them by == or !="),
    ("is_stream ~ 't'", 12, "is_stream is true or false: compare it with one of them by == or !="),
    ("requested_at > 'soon'", 15, f"requested_at is a time: {NO_TIME}"),
    ("note == today", 8, "note is text: compare it with a string"),
    ("latency > yesterday", 10, "latency is a number: compare it with one"),
    ("requested_at > 5", 15, f"requested_at is a time: {NO_TIME}"),
    ("requested_at > 2h", 15, f"requested_at is a time: {NO_TIME}"),
    ("tags > 'a'", 7, "tags is a set: it supports == != ~ !~ % !% @ !@"),
    ("request_body.x > 2h", 17, "JSON has no lengths of time: compare request_body with a string or a number"),
    ("request_body.x ~ 1", 17, "~ takes a string"),
    ("len(latency) > 1", 4, "latency is a number and has no length"),
    ("len(text) > 1", 12, "text is searched for words: text ~ 'words'"),
    ("text == 'x'", 8, "text is searched for words: text ~ 'words'"),
    ("text ~ 5", 7, "text is searched for words: text ~ 'words'"),
    ("text @ []", 0, "text is searched for words: text ~ 'words'"),
    ("text", 0, "text is searched for words: text ~ 'words'"),
    ("text ~ '...'", 7, "there is no word to search for"),
    ("model % '('", 8, "this regular expression cannot be used: missing ): ("),
]  # fmt: skip


@for_each(("text", "position", "message"), MISTAKES)
def test_mistake(text: str, position: int, message: str) -> None:
    """An invalid predicate gives the reason and its position, on both databases."""
    for dialect in ("sqlite", "postgresql"):
        compiler = Compiler(dialect, datetime.now(UTC), partial(sought_words, dialect))
        with pytest.raises(PredicateError) as raised:
            compiler.condition(parse(text), text)
        assert (str(raised.value), raised.value.position) == (f"predicate: {message}", position)


def sought_words(dialect: str, sought: str) -> Condition:
    """Return the condition of a word search."""
    return exact(words.terms(sought), dialect)


VALUES = {
    "request_body.model": ("'kimi-k3'", "'kimi-k2'", "5", "NULL", "true"),
    "request_body.stream": ("true", "false", "NULL", "'true'", "1"),
    "response_body.model": ("'kimi-k3-0905'", "'kimi-k2'", "NULL", "''"),
    "response_body.id": ("'chatcmpl-1'", "'chatcmpl-s'", "NULL"),
    "response_body.choices.0.finish_reason": ("'stop'", "'length'", "'repeat'", "NULL"),
    "response_body.usage.prompt_tokens": ("11", "900", "0", "3.5", "NULL"),
    "response_body.usage.total_tokens": ("18", "3.5", "3", "NULL", "'18'"),
    "request_body.max_tokens": ("5", "NULL"),
    "request_body.object.`0`": ("'zero'", "NULL"),
    "request_body.nul": ("'a'", "'ab'"),
    "request_body.名": ("7", "NULL"),
    "response_body.content": ("'你好 café'", "'caf'"),
    "request_body.messages.*.role": ("'tool'", "'user'", "NULL"),
}
COMPARATORS = ("==", "!=", ">", "~")


def predicates_of(path: str) -> list[str]:
    """Return the path alone, compared with each value in every way that its kind allows, and with all of them."""
    values = VALUES[path]
    compared = [
        f"{path} {comparator} {value}"
        for value in values
        for comparator in COMPARATORS
        if not (comparator == ">" and value in ("true", "false", "NULL"))
        and not (comparator == "~" and not value.startswith("'"))
    ]
    return [path, *compared, *(f"{path} {among} [{', '.join(values)}]" for among in ("@", "!@"))]


@pytest.mark.parametrize("path", VALUES)
def test_columns_and_marks_never_change_the_answer(calls: Calls, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Results from columns, or with bodies skipped, agree with reading every body."""
    found = {each: calls.holding(each) for each in predicates_of(path)}
    everything = sorted(calls.holding())
    for each, holding in found.items():
        assert sorted(holding + calls.holding(f"not ({each})")) == everything, each
    monkeypatch.setattr(extracts, "EXTRACTS", {})
    monkeypatch.setattr(compiling, "marks", lambda _: ())
    assert {each: calls.holding(each) for each in found} == found
