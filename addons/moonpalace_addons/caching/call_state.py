"""State of a call that uses a context cache, or a hint for the API's own caching."""

from dataclasses import dataclass, field

from moonpalace_addons.caching.api import Account, Ready


@dataclass(slots=True)
class ContextCacheState:
    """The state that `context_cache` keeps of a call.

    `cache` is the cache that the request names, `outcome` the stored outcome, `unhinted` the body without the hint.
    `hold` means that the answer is collected until it is complete, as it may refuse our additions.
    """

    cache: tuple[Account, Ready] | None = field(default=None, repr=False)
    outcome: str | None = None
    unhinted: bytes | None = field(default=None, repr=False)
    hold: bool = False
