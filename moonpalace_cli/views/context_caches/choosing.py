"""Choose the earlier call that a call continues, or else one with nearly the same prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from moonpalace_addons.wire.chat.prefix import INSTRUCTION_ROLES
from moonpalace_cli.views.context_caches.prefix_comparison import common, kinship, role_of
from moonpalace_cli.views.context_caches.prompts import Request

MAX_COMPARED = 16_384
"""Bytes at the beginning of a prompt whose words are compared with those of other prompts."""
NEARLY_SAME = 0.75
"""Share of common words from which two prompts are nearly the same."""
MIN_SIZE = 2048
"""Minimum bytes of a prompt that is compared by words: a cache of a shorter one is hardly worth it."""
WORDS = re.compile(r"\w+")


class Candidate[T](NamedTuple):
    """An earlier call, its prompt, and whether it may have cached it: it has the same model and had ended."""

    call: T
    prompt: Request
    near: tuple[int, int]
    is_own: bool
    had_ended: bool


def choose[T](
    later: Request, earlier: Iterable[tuple[T, Request]], had_ended: Callable[[T], bool] = lambda _: True
) -> tuple[T, Request] | None:
    """Return the call that a request continues: the most similar one, of equals the first.

    Models share no cache, and a call in flight may not have cached its prompt yet: if that applies to the most similar
    call, another one that began the same conversation is preferred, however short. If no message is shared, return the
    call whose prompt is nearly the same; None if there is none.
    """
    similar = [
        Candidate(call, prompt, kinship(prompt, later), prompt.model == later.model, had_ended(call))
        for call, prompt in earlier
    ]
    best = max(similar, key=lambda each: (each.near, each.is_own, each.had_ended), default=None)
    if best is not None and best.near == (0, 0):
        best = most_alike(later, similar)
    elif best is not None and not (best.is_own and best.had_ended):
        best = max(preferred(later, similar, best), key=lambda each: (each.had_ended, each.near), default=best)
    return None if best is None else (best.call, best.prompt)


def preferred[T](later: Request, candidates: Iterable[Candidate[T]], best: Candidate[T]) -> list[Candidate[T]]:
    """Return the calls for the same model that began the conversation, or only its prompt if `best` had not ended."""
    return [
        each
        for each in candidates
        if each.is_own and (begins_alike(each.prompt, later) or (best.is_own and each.had_ended and each.near[1]))
    ]


def begins_alike(earlier: Request, later: Request) -> bool:
    """Return whether two requests begin with the same conversation, rather than only the same instructions."""
    same = later.messages[: common(earlier.messages, later.messages)]
    return any(role_of(message) not in INSTRUCTION_ROLES for message in same)


def most_alike[T](later: Request, candidates: Iterable[Candidate[T]]) -> Candidate[T] | None:
    """Return the call with nearly the same prompt, preferably one that may have cached it."""
    if later.size < MIN_SIZE:
        return None
    ours = words(later.messages)
    alike = (each for each in candidates if similarity(words(each.prompt.messages), ours) >= NEARLY_SAME)
    first = later.messages[0]
    return max(
        alike,
        key=lambda each: (each.is_own, each.had_ended, common(first, each.prompt.messages[0][:MAX_COMPARED])),
        default=None,
    )


@lru_cache(128)
def words(messages: tuple[bytes, ...]) -> frozenset[str]:
    """Return the words of a prompt; its clauses if it has no spaces.

    Cached, because each is compared with many others.
    """
    return frozenset(WORDS.findall(b" ".join(messages)[:MAX_COMPARED].decode("utf-8", "ignore")))


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of common words."""
    return len(one & other) / max(1, len(one), len(other))
