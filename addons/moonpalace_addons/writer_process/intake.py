"""Give the writer what the proxy says of calls, and an end to calls whose proxy is gone."""

from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import cast

from moonpalace_addons.store.tasks import Chunks, ExchangeEnded, RequestRead, ResponseStarted, Task
from moonpalace_addons.store.write.recovery import died
from moonpalace_addons.writer_process.messages import Stop


class Intake:
    """Hand tasks on, and know which calls are under way."""

    def __init__(self, put: Callable[[Task], None]) -> None:
        self._put = put
        self._ages: dict[str, int] = {}
        """Of each call under way: nanoseconds from its beginning to the last that came of it."""

    def take_all(self, messages: Iterable[object]) -> None:
        """Take what is said until nothing follows; what is under way then has died with its proxy."""
        for message in messages:
            if isinstance(message, Stop):
                break
            for task in cast(list[Task], message):
                self._note(task)
                self._put(task)
        for uuid, age in self._ages.items():
            self._put(died(uuid, age))

    def _note(self, task: Task) -> None:
        match task:
            case RequestRead():
                self._ages[task.uuid] = 0
            case ResponseStarted():
                self._ages[task.uuid] = task.at
            case Chunks():
                lasts = accumulate(task.counts)
                self._ages |= {uuid: task.times[last - 1] for uuid, last in zip(task.uuids, lasts, strict=True)}
            case ExchangeEnded():
                self._ages.pop(task.uuid, None)
