"""Tests of how the texts of a stream are told apart."""

import pytest

from moonpalace_addons.wire.chat.series import Path, is_certain_text_piece, is_text_piece, series_key


def block(kind: str, inside: str, index: int = 0) -> dict[str, object]:
    return {"type": f"content_block_{kind}", "index": index, inside: {"type": "text_delta", "text": "x"}}


def choice(index: int, position: int = 0) -> tuple[dict[str, object], Path]:
    choices = [{"index": 9, "text": ""}] * position + [{"index": index, "text": "x"}]
    return {"choices": choices}, ("choices", position, "text")


TEXT = ("delta", "text")
BEGUN = (block("start", "content_block"), ("content_block", "text"))
OUTPUT = {"type": "response.output_text.delta", "item_id": "a", "output_index": 0, "content_index": 0, "delta": "x"}
SAME = [
    ((block("delta", "delta"), TEXT), (block("delta", "delta"), TEXT)),
    (BEGUN, (block("delta", "delta"), TEXT)),
    (choice(1), choice(1, position=1)),
    ((OUTPUT, ("delta",)), (OUTPUT | {"sequence_number": 5}, ("delta",))),
]
DIFFERENT = [
    ((block("delta", "delta"), TEXT), (block("delta", "delta", 1), TEXT)),
    (BEGUN, (block("delta", "delta", 1), TEXT)),
    ((block("delta", "delta"), TEXT), (block("delta", "delta"), ("delta", "thinking"))),
    ((block("delta", "delta"), TEXT), (block("delta", "delta"), ("delta", "partial_json"))),
    (choice(0), choice(1)),
    *(
        ((OUTPUT, ("delta",)), (OUTPUT | {name: 1}, ("delta",)))
        for name in ("item_id", "output_index", "content_index")
    ),
    ((OUTPUT, ("delta",)), (OUTPUT | {"type": "response.refusal.delta"}, ("delta",))),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_pieces_of_one_text(one: tuple[object, Path], other: tuple[object, Path]) -> None:
    """The text that a client joins is one series, at any position in a list, from the beginning of its block."""
    assert series_key(*one) == series_key(*other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_pieces_of_different_texts(one: tuple[object, Path], other: tuple[object, Path]) -> None:
    """Alternating blocks, choices, items and kinds of text are not joined."""
    assert series_key(*one) != series_key(*other)


def test_what_grows() -> None:
    """Texts grow, names do not; for events of unknown kinds this is uncertain."""
    assert is_text_piece(TEXT)
    assert not is_text_piece(("delta", "name"))
    assert not is_text_piece(())
    assert all(is_certain_text_piece(*one) for one, _ in SAME[2:])
    assert not is_certain_text_piece({"text": "x"}, ("text",))
    assert not is_certain_text_piece([{"text": "x"}], (0, "text"))
