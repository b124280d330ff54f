"""Read which model explains calls (`mpal explain`)."""

import re
from dataclasses import dataclass, field

from moonpalace_addons.settings import endpoints, kinds
from moonpalace_addons.settings.entries import Entry

KIMI = "https://api.moonshot.cn"
MODEL = "kimi-k3"
MEMBERS = ("endpoint", "model", "key", "tokens")
ALLOWED = "a mapping with endpoint, model, key and tokens, such as {model: kimi-k3}"
MIN_TOKENS, MAX_TOKENS = 1_000, 200_000
_NAME = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True, slots=True)
class Explainer:
    """The model that explains calls.

    `endpoint` is a base URL or a name under `endpoints`, `tokens` the most that are sent, `proxy` what the setting
    upstream-proxy says: "" for no proxy, None if the environment decides.
    """

    endpoint: str | None = None
    model: str = MODEL
    key: str | None = field(default=None, repr=False)
    tokens: int = 8_000
    proxy: str | None = field(default=None, repr=False)


def read_explainer(entry: Entry) -> Explainer:
    """Read the user's settings under `explain`; raise SettingError."""
    members = entry.mapping(ALLOWED, MEMBERS)
    found: dict[str, object] = {}
    if "endpoint" in members:
        text = members["endpoint"].scalar(kinds.ENDPOINT.allowed)
        found["endpoint"] = text if endpoints.is_name(text) else endpoints.url(members["endpoint"])
    if "model" in members:
        found["model"] = model(members["model"])
    if "key" in members:
        found["key"] = endpoints.secret(members["key"])
    if "tokens" in members:
        found["tokens"] = tokens(members["tokens"])
    return Explainer(**found)  # type: ignore[arg-type]


def model(entry: Entry) -> str:
    """Return the name of a model."""
    allowed = "the name of a model, such as kimi-k3"
    if not _NAME.fullmatch(entry.scalar(allowed)):
        entry.fail(f"must be {allowed}")
    return entry.scalar(allowed)


def tokens(entry: Entry) -> int:
    """Return a number of tokens."""
    allowed = f"a whole number of tokens from {MIN_TOKENS} to {MAX_TOKENS}"
    text = entry.scalar(allowed)
    if not re.fullmatch(r"[0-9]{1,7}", text) or not MIN_TOKENS <= int(text) <= MAX_TOKENS:
        entry.fail(f"must be {allowed}")
    return int(text)
