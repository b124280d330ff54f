"""What the process that writes makes of what it is told."""

from moonpalace_addons.store.tasks import ExchangeEnded, State, Task
from moonpalace_addons.writer_process.intake import Intake
from moonpalace_addons.writer_process.messages import Stop
from tests.writer_process.calls import Call


def test_tasks_are_handed_on() -> None:
    """In their order, until it is told to stop; calls that are over get no other end."""
    put: list[Task] = []
    call = Call()
    told: list[Task] = [call.request, call.response, call.packed(0), call.ended]
    Intake(put.append).take_all([told[:2], told[2:], Stop(), [Call().request]])
    assert put == told


def test_calls_of_a_proxy_that_is_gone() -> None:
    """They have died with it, each with the last that came of it."""
    put: list[Task] = []
    asked, answered, streamed, over = (Call() for _ in range(4))
    told: list[Task] = [asked.request, answered.request, answered.response, streamed.request, streamed.response]
    told += [streamed.packed(0, 5), over.request, over.ended]
    Intake(put.append).take_all([told])
    ends = [task for task in put[len(told) :] if isinstance(task, ExchangeEnded)]
    assert [(end.uuid, end.at) for end in ends] == [(asked.uuid, 0), (answered.uuid, 1_000), (streamed.uuid, 2_005)]
    assert {(end.state, end.error_kind) for end in ends} == {(State.PROXY_DIED, "proxy_died")}
