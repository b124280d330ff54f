"""Legacy completions: a prompt, and `choices` with a `text`, which grows in a stream that `[DONE]` ends."""

from collections.abc import Iterator, Mapping
from typing import override

from moonpalace_addons.wire.chat.completion import choices, truncated
from moonpalace_addons.wire.chat.deviations import wrong_usage
from moonpalace_addons.wire.chat.merging import Choice, Merger
from moonpalace_addons.wire.chat.pieces import Doubts, Pieces
from moonpalace_addons.wire.faces.chat_completions import ChatCompletions, ChatProgress, number_of
from moonpalace_addons.wire.faces.face import REPEAT, Channel, Channels, Fields
from moonpalace_addons.wire.faces.progress import Progress
from moonpalace_addons.wire.json_value import mapping, text_in

TEXT = "text"
KIND = "text_completion"


class Completions(ChatCompletions):
    """`/v1/completions`, which differs from chat completions only in the members of a choice."""

    name = "completions"
    paths = ("/completions",)
    has_context_caches = False

    @override
    def owns(self, value: Fields) -> bool:
        return value.get("object") == KIND

    @override
    def make_merger(self) -> Merger:
        return TextMerger()

    @override
    def make_progress(self) -> Progress:
        return TextProgress()

    @override
    def make_channels(self) -> Channels:
        return TextChannels()

    @override
    def token_channel(self, value: object) -> Channel | None:
        return "visible" if any(text_in(choice, TEXT) for choice in choices(mapping(value))) else None

    @override
    def warnings(self, request: Fields, answer: Fields, *, streamed: bool) -> Iterator[str]:
        reasons = [choice.get("finish_reason") for choice in choices(answer)]
        if "length" in reasons or not all(reasons):
            yield truncated(request, answer, at_limit="length" in reasons, streamed=streamed)
        yield from wrong_usage(mapping(answer.get("usage")))


class TextMerger(Merger):
    """Merge the chunks of one stream, as those of a chat completion are merged."""

    kind = KIND

    @override
    def owns(self, chunk: Mapping[str, object]) -> bool:
        return "choices" in chunk or ("usage" in chunk and "type" not in chunk)

    @override
    def make_choice(self, doubts: Doubts) -> "TextChoice":
        return TextChoice(doubts)


class TextChoice(Choice):
    """One choice, whose text is a direct member."""

    def __init__(self, doubts: Doubts) -> None:
        super().__init__(doubts)
        self.fields = Pieces(doubts, joins=True, appends=True)

    @property
    @override
    def texts(self) -> Pieces:
        return self.fields

    @override
    def result(self, index: int) -> dict[str, object]:
        result = super().result(index)
        del result["message"]
        return {"index": index, TEXT: "", **result}


class TextProgress(ChatProgress):
    """Which choices of a stream are open."""

    @override
    def final_chunk(self, choice: int) -> dict[str, object]:
        end = {"index": choice, TEXT: "", "logprobs": None, "finish_reason": REPEAT}
        return {**self.top, "choices": [end]}


class TextChannels:
    """The texts of a stream, one for each choice."""

    def texts(self, value: object) -> Iterator[tuple[int, str, str]]:
        """Yield the choice, its channel and a piece of text for each piece in a chunk."""
        for position, choice in enumerate(choices(mapping(value))):
            if text := text_in(choice, TEXT):
                yield number_of(choice, position), TEXT, text


COMPLETIONS = Completions()
