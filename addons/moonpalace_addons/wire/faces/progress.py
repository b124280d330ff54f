"""The progress of a streamed answer: whether it has begun, is complete, is over or reported an error."""

from collections.abc import Mapping, Sequence

from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.text_matcher import TextDelta, TextRun
from moonpalace_addons.wire.json_value import mapping


class Progress:
    """The state of one stream; a face overrides the parts that depend on it.

    `is_done`: no part of the answer can follow, because of the last event or an error. `has_content`: any part of an
    answer has arrived, beyond its announcement. `error` is the error that the stream reported before it was done.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.has_content = False
        self.error: ApiError | None = None

    @property
    def is_whole(self) -> bool:
        """Return whether the answer is over according to the stream, even if its last event has not arrived."""
        return self.is_done

    @property
    def is_complete(self) -> bool:
        """Return whether no part of the answer is missing, including its usage."""
        return self.is_done

    def feed(self, value: object, error: ApiError | None = None) -> None:
        """Read the parsed JSON of one event (or a `TextDelta` or `TextRun`), and the error that it reports."""
        if isinstance(value, TextDelta):
            self.has_content = self.has_content or bool(value.text)
            return
        if isinstance(value, TextRun):
            self.has_content = self.has_content or any(value.texts)
            return
        if error is not None and not self.is_done and (error.ends or not self.has_content):
            self.error = error
        self.is_done = self.is_done or (error is not None and error.ends)
        self.read(mapping(value))

    def close(self) -> None:
        """Note the mark that ends a stream and is not JSON: `[DONE]`."""
        self.is_done = True

    def read(self, value: Mapping[str, object]) -> None:
        """Read the data of one event."""

    def ending(self) -> Sequence[object]:
        """Return the data of the events that end the answer here because of a loop, in the API's grammar."""
        return ()
