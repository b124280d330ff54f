"""The comparison of two calls for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from moonpalace_addons.wire.faces.turns import Turn
from moonpalace_cli.views.comparing.comparison import Comparison
from moonpalace_cli.views.comparing.sequences import Pair
from moonpalace_cli.views.comparing.texts import Run
from moonpalace_cli.views.context_caches import prefix_report


def document(comparison: Comparison) -> dict[str, object]:
    """Return a comparison: fields and parameters with both values, and messages with the changes of their texts."""
    listed = comparison.listed
    return {
        "calls": [call.id for call in comparison.calls],
        "fields": {column.name: [column.value(call) for call in listed] for column in comparison.columns},
        "parameters": {each.name: [each.before, each.after] for each in comparison.parameters},
        "messages": [*messages(comparison, comparison.request_pairs)],
        "answers": [*messages(comparison, comparison.answer_pairs)],
        "prompts": None if comparison.prompts is None else prefix_report.document(comparison.prompts),
    }


def messages(comparison: Comparison, pairs: Sequence[Pair[Turn]]) -> Iterator[dict[str, object]]:
    """Yield each message with its number in each call (null if it is missing), and the parts that changed."""
    before = after = 0
    for pair in pairs:
        before, after = before + (pair.before is not None), after + (pair.after is not None)
        numbers = (before if pair.before else None, after if pair.after else None)
        role = next(turn.role for turn in (pair.after, pair.before) if turn)
        named = {"role": role, "numbers": numbers, "same": pair.is_same}
        yield named if pair.is_same else named | {"parts": [*parts(comparison, pair)]}


def parts(comparison: Comparison, pair: Pair[Turn]) -> Iterator[dict[str, object]]:
    """Yield the parts of a message that differ; `labels` are the names of called tools."""
    for each, runs in comparison.parts(pair):
        if not each.is_same:
            sides = (each.before, each.after)
            kind = next(part.kind for part in sides if part)
            labels = [part.label if part else None for part in sides]
            yield {"kind": kind, "labels": labels, "changes": [*changes(runs)]}


def changes(runs: Sequence[Run]) -> Iterator[dict[str, object]]:
    """Yield the changes of a text: the offsets in characters on both sides, the old and the new text."""
    before = after = 0
    for run in runs:
        if not run.is_same:
            yield {"at": (before, after), **asdict(run)}
        before, after = before + len(run.before), after + len(run.after)
