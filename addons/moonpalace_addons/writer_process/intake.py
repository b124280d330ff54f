"""Pass the proxy's tasks to the writer, and end calls whose proxy has died."""

from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import cast

from moonpalace_addons.store.tasks import Chunks, ExchangeEnded, RequestRead, ResponseStarted, Task
from moonpalace_addons.store.write.recovery import died
from moonpalace_addons.writer_process.messages import Stop


class Intake:
    """Pass tasks on, and track the calls in flight."""

    def __init__(self, put: Callable[[Task], None]) -> None:
        self._put = put
        self._ages: dict[str, int] = {}
        """For each call in flight, nanoseconds from its beginning to its last task."""

    def take_all(self, messages: Iterable[object]) -> None:
        """Process messages until the last one; calls still in flight then have died with their proxy."""
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
