"""Detect secrets in a call, with their positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moonpalace_addons.wire.secrets import patterns, personal
from moonpalace_cli.calls.content import holds_events
from moonpalace_cli.redaction.call_strings import rewrite, rewrite_exchange
from moonpalace_cli.redaction.event_texts import event_texts
from moonpalace_cli.redaction.json_texts import texts_in
from moonpalace_cli.redaction.replacing import Place, Replacement

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call

type Clean = set[tuple[int, int]]
"""Lengths and hashes of texts without secrets."""

MIN_REMEMBERED = 200
"""Characters from which remembering a text costs less than checking it again."""
MAX_REMEMBERED = 200_000
BATCH_SIZE = 200_000
"""Characters of texts that are searched together."""
SEPARATOR = "\n" * 41
"""Put between texts: more whitespace than any pattern allows between a secret and what tells that it is one."""


@dataclass(frozen=True, slots=True)
class FoundSecret:
    """A secret in a call: its kind and its place."""

    kind: str
    place: Place

    def __str__(self) -> str:
        return f"{self.kind} in its {self.place}"


class Watch:
    """Record the secrets in all texts, without replacing any."""

    def __init__(self) -> None:
        self.found: list[FoundSecret] = []

    def text(self, place: Place, text: str) -> Sequence[Replacement]:
        """Check one text."""
        self.found += [FoundSecret(finding.kind, place) for finding in patterns.find(text)]
        self.found += [FoundSecret("password", place) for _ in personal.passwords(text)]
        return []

    def binary(self, place: Place, data: bytes) -> bytes:
        """Check a body that is not text, as far as possible."""
        self.text(place, data.decode("latin-1"))
        return data


def secrets_in(call: Call, clean: Clean | None = None) -> list[FoundSecret]:
    """Return the suspected secrets of a call, in the order of its parts; `clean` remembers texts without any."""
    if is_clean(call, set() if clean is None else clean):
        return []
    watch = Watch()
    rewrite(call, watch)
    return watch.found


def is_clean(call: Call, clean: Clean) -> bool:
    """Tell whether a call has no secret, without their places in a call that has some.

    Its texts are searched together, in a fraction of the time that it takes one by one, and without those that were
    clean in an earlier call: agents resend their whole conversation.
    """
    texts = dict.fromkeys(texts_of(call))
    fresh = [text for text in texts if len(text) < MIN_REMEMBERED or (len(text), hash(text)) not in clean]
    if any(has_secret(joined) for joined in batches(fresh)):
        return False
    if len(clean) < MAX_REMEMBERED:
        clean.update((len(text), hash(text)) for text in fresh if len(text) >= MIN_REMEMBERED)
    return True


def has_secret(text: str) -> bool:
    """Tell whether a text has a secret."""
    return bool(patterns.find(text)) or next(personal.passwords(text), None) is not None


def batches(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts, joined to texts of limited size."""
    batch, size = list[str](), 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_SIZE:
            yield SEPARATOR.join(batch)
            batch, size = [], 0
    yield SEPARATOR.join(batch)


class Collector:
    """Collect all texts, and replace none."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def text(self, _: Place, text: str) -> Sequence[Replacement]:
        """Note a text."""
        self.texts.append(text)
        return []

    def binary(self, _: Place, data: bytes) -> bytes:
        """Note a body that is not text."""
        self.texts.append(data.decode("latin-1"))
        return data


def texts_of(call: Call) -> list[str]:
    """Return the texts of a call; some more than once."""
    collector = Collector()
    rewrite_exchange(call.exchange, collector)
    bodies, texts = call.bodies, [*call.tags, *collector.texts]
    if bodies.event_stream is not None:
        texts += (
            event_texts(bodies.event_stream) if holds_events(call.exchange, bodies) else body_texts(bodies.event_stream)
        )
    for body in (bodies.request, None if bodies.response == bodies.event_stream else bodies.response):
        texts += body_texts(body or b"")
    return texts


def body_texts(data: bytes) -> list[str]:
    """Return the texts of a body; one that is not UTF-8 is a text as far as possible."""
    try:
        return texts_in(data.decode())
    except UnicodeDecodeError:
        return [data.decode("latin-1")]
