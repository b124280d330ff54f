"""Tests of naming calls."""

import json
from collections.abc import Iterator

import click
import pytest
from sqlalchemy import text

from moonpalace_addons.errors import NotFoundError
from moonpalace_cli.flags.named_calls import find_call, named_ids
from tests.cli.conftest import Mpal, Store


@pytest.fixture
def calls(store: Store) -> Store:
    """Store six calls; the last two have the same completion, and the numbers have a gap."""
    for row_id, name in ((1, "aaa-1"), (2, "abb-2"), (3, "abb_3"), (7, "ccc-7"), (8, "ddd-8"), (9, "ddd-8")):
        store.add(
            id=row_id, chatcmpl_id=f"chatcmpl-{name}", msh_request_id=f"req-{row_id}", client_request_id=f"own-{row_id}"
        )
    return store


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["2"], [2]),
        (["#2"], [2]),
        (["7", "1", "7"], [7, 1]),
        (["2-8"], [2, 3, 7, 8]),
        (["#2-#3", "3", "1"], [2, 3, 1]),
        (["7-99999999999999999999"], None),
        (["7-9999999999999999999"], [7, 8, 9]),
        (["chatcmpl-aaa-1"], [1]),
        (["chatcmpl-a…1"], [1]),
        (["chatcmpl-a...1"], [1]),
        (["chatcmpl-abb~2"], [2]),
        (["chatcmpl-cc"], [7]),
        (["CHATCMPL-CC"], [7]),
        (["chatcmpl-abb_"], [3]),
        (["req-7"], [7]),
        (["own-7"], [7]),
        (["chatcmpl-d"], [9]),
        (["chatcmpl-ddd-8"], [9]),
        (["chatcmpl-abb"], None),
        (["chatcmpl-%"], None),
        (["4"], None),
        (["4-6"], None),
        (["99999999999999999999"], None),
        ([""], None),
        (["…"], None),
        (["\ud800"], None),
        (["\x00"], None),
    ],
)
def test_names(calls: Store, names: list[str], expected: list[int] | None) -> None:
    """Numbers, ranges, identifiers, their beginnings and shortened ones find calls; other names are errors."""
    if expected is None:
        with pytest.raises(NotFoundError):
            named_ids(calls.engine, names)
    else:
        assert named_ids(calls.engine, names) == expected


def test_an_ambiguous_beginning_names_the_calls(calls: Store) -> None:
    """Nothing is guessed: the message names the possible calls."""
    with pytest.raises(NotFoundError, match=r"^'chatcmpl-abb' matches the calls 3, 2: write more of it$"):
        named_ids(calls.engine, ["chatcmpl-abb"])


def test_a_range_backwards_is_corrected(calls: Store) -> None:
    """A range from a greater to a smaller number is wrong usage."""
    with pytest.raises(click.UsageError, match="the range 8-2 is empty: write 2-8"):
        named_ids(calls.engine, ["8-2"])


def test_the_newest_match_is_found_and_the_others_are_named(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several calls with one identifier the newest is used, and the others are named."""
    for _ in range(13):
        store.add()
    note = "13 calls match; this is the newest, 13; the others: 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1\n"
    assert find_call(store.engine, row_id=None, chatcmpl="chatcmpl-00000001", request_id=None) == 13
    assert capsys.readouterr().err == note
    assert named_ids(store.engine, ["chatcmpl-00000001"]) == [13]
    assert capsys.readouterr().err == note


def test_a_uuid_is_that_of_one_call(store: Store) -> None:
    """A client that sends the uuid of another call does not get that call's name."""
    first = store.add()
    with store.engine.connect() as connection:
        uuid = connection.execute(text("SELECT uuid FROM exchanges")).scalar_one()
    store.add(client_request_id=uuid)
    assert named_ids(store.engine, [uuid]) == [first]


def test_all_identifiers_must_hold(store: Store) -> None:
    """Identifiers are combined, and the message repeats them."""
    store.add(chatcmpl_id="a")
    second = store.add(chatcmpl_id="b")
    assert find_call(store.engine, row_id=second, chatcmpl="b", request_id="req-00000001-aaaa-bbbb") == second
    with pytest.raises(NotFoundError) as caught:
        find_call(store.engine, row_id=second, chatcmpl="a", request_id=None)
    assert str(caught.value) == "no stored call has id 2 and chatcmpl a; mpal list shows the stored calls"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["inspect", "7"], [7]),
        (["inspect", "1-2"], [1, 2]),
        (["inspect", "chatcmpl-cc"], [7]),
        (["inspect", "--last"], [9]),
        (["inspect", "--last", "2"], [8, 9]),
        (["inspect", "-p", "id < 4"], [3]),
        (["inspect", "-p", "id < 4", "--last", "2"], [2, 3]),
        (["label", "7", "1-2"], [7, 1, 2]),
        (["label", "1-9", "-p", "id > 3 && id < 9"], [7, 8]),
        (["label", "-p", "id < 4"], [1, 2, 3]),
        (["export", "7", "1"], [7, 1]),
    ],
)
def test_commands(calls: Store, mpal: Mpal, arguments: list[str], shown: list[int]) -> None:
    """All commands accept calls in the same forms; views show the newest if there is only a filter."""
    result = mpal(*arguments, *([] if arguments[0] == "export" else ["--json"]))
    assert result.code == 0, result.err
    assert [row_id(document) for document in documents(result.out)] == shown


def documents(text: str) -> Iterator[dict[str, object]]:
    """Yield the consecutive JSON objects in a text."""
    while text := text.lstrip():
        found, end = json.JSONDecoder().raw_decode(text)
        yield found
        text = text[end:]


def row_id(document: dict[str, object]) -> int:
    """Return the number of a shown or exported call."""
    metadata = document.get("metadata")
    return int(metadata["moonpalace_id"]) if isinstance(metadata, dict) else int(str(document["id"]))
