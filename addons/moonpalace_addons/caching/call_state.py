"""The state of a call that uses a context cache, or has a hint to the API's own caches."""

from dataclasses import dataclass, field

from moonpalace_addons.caching.api import Account, Ready


@dataclass(slots=True)
class ContextCacheState:
    """What `context_cache` knows of a call.

    `cache` is the cache that the request names, `outcome` what came of that, `unhinted` the body before a hint was
    added. `hold` has the answer collected until it is whole, since it may be about what we added.
    """

    cache: tuple[Account, Ready] | None = field(default=None, repr=False)
    outcome: str | None = None
    unhinted: bytes | None = field(default=None, repr=False)
    hold: bool = False
