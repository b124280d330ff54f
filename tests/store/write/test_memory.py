"""The memory of calls that wait to be stored."""

import pytest

from moonpalace_addons.store.write import memory
from moonpalace_addons.store.write.memory import MEMORY_LIMIT, PASSED_THRESHOLD, TRIM_THRESHOLD, MemoryUse


def test_too_much() -> None:
    """Above the limit at once if the store is unavailable, otherwise only if it happens twice in a row."""
    use, over = MemoryUse(), MEMORY_LIMIT + 1
    assert use.is_too_much(over, over, at_once=True)
    assert not use.is_too_much(MEMORY_LIMIT, MEMORY_LIMIT, at_once=True)
    assert not use.is_too_much(over, over, at_once=False)
    assert use.is_too_much(over, over, at_once=False)
    assert not use.is_too_much(over, MEMORY_LIMIT, at_once=False)
    assert not use.is_too_much(over, over, at_once=False)
    assert use.now == over


def test_giving_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is released once after much has waited, even if little waits now."""
    trimmed: list[str] = []
    monkeypatch.setattr(memory, "trim", lambda: trimmed.append("trimmed"))
    use = MemoryUse()
    for weight in (TRIM_THRESHOLD, TRIM_THRESHOLD + 1, 0):
        use.is_too_much(weight, 0, at_once=False)
        if weight == TRIM_THRESHOLD:
            use.give_back()
    assert trimmed == []
    use.give_back()
    use.give_back()
    assert trimmed == ["trimmed"]


def test_giving_back_after_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is also released after rows that were stored one after the other: the free memory they leave adds up."""
    trimmed: list[str] = []
    monkeypatch.setattr(memory, "trim", lambda: trimmed.append("trimmed"))
    use, counts = MemoryUse(), list[int]()
    for _ in range(2 * PASSED_THRESHOLD // TRIM_THRESHOLD + 2):
        use.is_too_much(TRIM_THRESHOLD, 0, at_once=False)
        use.give_back()
        counts.append(len(trimmed))
    assert counts == [0] * 8 + [1] * 9 + [2]
