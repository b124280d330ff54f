"""Whether JSON that arrives in pieces is complete."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.chat.tool_calls import Balance

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a"\\{}[]', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('"\\{a', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.data())
def test_json_is_complete_at_its_end_only(value: Any, data: st.DataObject) -> None:
    """An object or list is complete exactly at its last bracket, however it was cut."""
    text = json.dumps([value])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    balance = Balance()
    for start, end in pairwise([0, *cuts, len(text)]):
        balance.feed(text[start:end])
        assert balance.is_complete is (end == len(text))
    assert balance.size == len(text)


@pytest.mark.parametrize(
    ("text", "complete"), [("", False), ("ab", False), ("12", False), ('"{}"', False), (" {} \n", True), ("{}}", True)]
)
def test_other_texts(text: str, complete: bool) -> None:
    """Other values have no recognizable end."""
    balance = Balance()
    balance.feed(text)
    assert balance.is_complete is complete
