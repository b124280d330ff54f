"""The order in which a batch takes the tasks that came together."""

from collections.abc import Callable

import pytest

from moonpalace_addons.store.records import parts
from moonpalace_addons.store.write import answers, derive, gate
from tests.batches import Batch
from tests.tasks import ended, request_read, response_started


def test_calls_of_a_kind_are_taken_step_by_step(monkeypatch: pytest.MonkeyPatch, batch: Batch) -> None:
    """Each step is taken for all calls before the next one; one that fails in a step is the only one that is lost."""
    order = list[str]()

    def noted(name: str, work: Callable[..., object]) -> Callable[..., object]:
        def step(body: bytes, *others: object) -> object:
            order.append(f"{name} {body.decode()}")
            if body == b"2" and name == "mask":
                raise ZeroDivisionError
            return work(body, *others)

        return step

    monkeypatch.setattr(gate, "masked_request", noted("mask", gate.masked_request))
    monkeypatch.setattr(parts.RECENT, "cut", noted("cut", parts.RECENT.cut))
    calls = [request_read(body=body) for body in (b"1", b"2", b"3")]
    batch.plan([*calls, *map(ended, calls)], keep=False)
    assert order == ["mask 1", "mask 2", "mask 3", "cut 1", "cut 3"]
    assert [(unit.uuid, unit.is_over) for unit in batch.units.values()] == [
        (call.uuid, True) for call in (calls[0], calls[2])
    ]
    assert (batch.lost, set(batch.settled())) == (1, {calls[1].uuid})


@pytest.mark.parametrize(("size", "expected"), [(100, "read read columns columns"), (1, "read columns read columns")])
def test_only_short_answers_wait_once_they_are_parsed(
    monkeypatch: pytest.MonkeyPatch, batch: Batch, size: int, expected: str
) -> None:
    """Answers are parsed together before their columns are read; a long one alone, as it takes much memory."""
    order = list[str]()

    def noted(name: str, work: Callable[..., object]) -> Callable[..., object]:
        def step(*given: object, **options: object) -> object:
            order.append(name)
            return work(*given, **options)

        return step

    monkeypatch.setattr(derive, "MAX_WAITING_SIZE", size)
    monkeypatch.setattr(derive, "read", noted("read", answers.read))
    monkeypatch.setattr(derive, "header_columns", noted("columns", derive.header_columns))
    calls = [request_read(), request_read()]
    ends = [ended(call, response=response_started(call, [b'{"a": 1}'])) for call in calls]
    batch.plan([*calls, *ends], keep=False)
    assert " ".join(order) == expected
