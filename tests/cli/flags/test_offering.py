"""Suggestions for an unfinished predicate."""

import pytest

from moonpalace_addons.store.query.condition import check
from moonpalace_addons.store.records import labels
from moonpalace_cli.flags.offering import known_operators, offers
from tests.cli.conftest import Store
from tests.cli.web import samples

OFFERED = {
    "prompt": ["prompt_tokens "],
    "status == 200 && finish_r": ["finish_reason ", "response_body.choices.0.finish_reason "],
    "(not finish_r": ["finish_reason ", "response_body.choices.0.finish_reason "],
    "request_body.mes": ["request_body.messages.-1.role ", "request_body.messages.-1.content "],
    "stream ": ["== ", "!= ", "&& ", "|| "],
    "latency >": [">= "],
    "text ": ["~ ", "!~ ", "&& ", "|| "],
    "model == ": ["'kimi-k2.6'", "'claude-sonnet-4-5'"],
    "model == 'K2": ["'kimi-k2.6'"],
    'model @ ["kimi-k2.6", "': ["'kimi-k2.6'", "'claude-sonnet-4-5'"],
    "model == 'x'": [" && ", " || "],
    "model == 'x' &": ["&& "],
    "model @ ['x'": ["]", ", "],
    "status >= 4": ["429", "404"],
    "category == ": ["'badcase'"],
    "tags == ": ["'cut'"],
    "stream == t": ["true"],
    "requested_at > ": ["-1h", "-1d", "today", "yesterday"],
    "latency > 5": ["500ms", "5s"],
    "note ~ 'it": [r"'it\'s'"],
}
WITHOUT = ("model == 'x' y", "== ", "model == 'x' 'y", "`mod", "prompt_tokens > ", "x" * 20_000, "(" * 20_000)


def test_offers(store: Store) -> None:
    """Fields, operators of the field, and values of calls are suggested, most frequent first."""
    samples.plain(store.add, note="it's", category="badcase")
    samples.plain(store.add)
    samples.refused(store.add, status_code=404)
    row = samples.refused(store.add)
    samples.refused(store.add)
    labels.change(store.engine, [row], labels.Change(tag=("cut",)))
    for text, expected in (OFFERED | {text: [] for text in WITHOUT}).items():
        assert [offer.text for offer in offers(store.engine, text, len(text)).offers] == expected, text[:40]


def test_the_place_of_an_offer(store: Store) -> None:
    """A suggestion replaces exactly the word or the string at the caret."""
    result = offers(store.engine, "not mod == 'x'", 6)
    assert (result.start, result.end) == (4, 7)
    result = offers(store.engine, "model == 'ki mi' && id", 11)
    assert (result.start, result.end) == (9, 12)


@pytest.mark.parametrize("path", ["model", "latency", "stream", "tags", "requested_at", "request_body.a", "len(tags)"])
def test_known_operators(path: str) -> None:
    """Any comparable value supports at least equality."""
    assert {"==", "!="} <= {*known_operators(path)}
    check(f"{path} != NULL", "sqlite")


@pytest.mark.parametrize("text", ["a" * 60_000 + " ", "text ~ '" + "a" * 60_000])
def test_what_is_too_long(store: Store, text: str) -> None:
    """A long text has no suggestions, without delay."""
    assert list(offers(store.engine, text, len(text)).offers) == []
