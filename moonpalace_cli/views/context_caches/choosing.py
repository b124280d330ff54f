"""Choose among earlier calls the one that a call continues, or else the one whose prompt is nearly the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from moonpalace_addons.wire.chat.prefix import INSTRUCTION_ROLES
from moonpalace_cli.views.context_caches.prefix_comparison import common, kinship, role_of
from moonpalace_cli.views.context_caches.prompts import Request

MAX_COMPARED = 16_384
"""Bytes of a prompt, from its beginning, whose words are compared with those of other prompts."""
NEARLY_SAME = 0.75
"""Share of words in common from which two prompts are nearly the same."""
MIN_SIZE = 2048
"""Bytes of a prompt from which it is looked for nearly the same one: shorter ones are hardly worth a cache."""
WORDS = re.compile(r"\w+")


class Candidate[T](NamedTuple):
    """An earlier call, its prompt, and whether it may have put that into the cache: same model, and had ended."""

    call: T
    prompt: Request
    near: tuple[int, int]
    is_own: bool
    had_ended: bool


def choose[T](
    later: Request, earlier: Iterable[tuple[T, Request]], had_ended: Callable[[T], bool] = lambda _: True
) -> tuple[T, Request] | None:
    """Return the call that a request continues: the most similar one, of equals the first.

    Models share no cache, and a call in flight may not have put its prompt there yet: if the most similar call has
    another model or had not ended, one is preferred that began the conversation and does not, however short. Without
    any message in common, return the call whose prompt is nearly the same, None if there is none.
    """
    found = [
        Candidate(call, prompt, kinship(prompt, later), prompt.model == later.model, had_ended(call))
        for call, prompt in earlier
    ]
    best = max(found, key=lambda each: (each.near, each.is_own, each.had_ended), default=None)
    if best is not None and best.near == (0, 0):
        best = most_alike(later, found)
    elif best is not None and not (best.is_own and best.had_ended):
        best = max(preferred(later, found, best), key=lambda each: (each.had_ended, each.near), default=best)
    return None if best is None else (best.call, best.prompt)


def preferred[T](later: Request, found: Iterable[Candidate[T]], best: Candidate[T]) -> list[Candidate[T]]:
    """Return the calls for the same model that began the conversation, or only its prompt if `best` had not ended."""
    return [
        each
        for each in found
        if each.is_own and (begins_alike(each.prompt, later) or (best.is_own and each.had_ended and each.near[1]))
    ]


def begins_alike(earlier: Request, later: Request) -> bool:
    """Tell whether two requests begin with the same conversation, and not only with the same instructions."""
    same = later.messages[: common(earlier.messages, later.messages)]
    return any(role_of(message) not in INSTRUCTION_ROLES for message in same)


def most_alike[T](later: Request, found: Iterable[Candidate[T]]) -> Candidate[T] | None:
    """Return the call whose prompt is nearly the same, rather one that may have put it into the cache."""
    if later.size < MIN_SIZE:
        return None
    ours = words(later.messages)
    alike = (each for each in found if similarity(words(each.prompt.messages), ours) >= NEARLY_SAME)
    first = later.messages[0]
    return max(
        alike,
        key=lambda each: (each.is_own, each.had_ended, common(first, each.prompt.messages[0][:MAX_COMPARED])),
        default=None,
    )


@lru_cache(128)
def words(messages: tuple[bytes, ...]) -> frozenset[str]:
    """Return the words of a prompt, of one without spaces its clauses. Cached as each is compared with many others."""
    return frozenset(WORDS.findall(b" ".join(messages)[:MAX_COMPARED].decode("utf-8", "ignore")))


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of words in common."""
    return len(one & other) / max(1, len(one), len(other))
