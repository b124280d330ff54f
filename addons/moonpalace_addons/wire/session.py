"""Find the session that a request belongs to, as named by coding agents and SDKs."""

import re
from collections.abc import Mapping

from moonpalace_addons.wire.json_value import mapping, parse

HEADERS = (
    "x-claude-code-session-id",
    "session-id",
    "session_id",  # Codex
    "x-opencode-session",
    "x-session-affinity",
    "x-session-id",
    "helicone-session-id",
)
MARK = "session"
"""Text that all these headers contain: without it, headers need not be parsed."""
MAX_LENGTH = 200
"""Maximum characters of a name."""

_IN_USER_ID = re.compile(r"_session_([\w-]+)$")
"""The end of Claude Code's `metadata.user_id`; newer versions send a JSON object instead."""


def of_request(headers: Mapping[str, str], members: Mapping[str, object]) -> str | None:
    """Return the session that a request names, or None.

    `headers` are by lower-case names, `members` those of the JSON body. The body's `prompt_cache_key` counts, since
    clients use one per conversation.
    """
    if not (headers or "metadata" in members or "prompt_cache_key" in members):
        return None  # true for most clients
    metadata = mapping(members.get("metadata"))
    candidates = (
        *map(headers.get, HEADERS),
        metadata.get("session_id"),
        _in_user_id(metadata.get("user_id")),
        members.get("prompt_cache_key"),
    )
    return next((name[:MAX_LENGTH] for name in candidates if isinstance(name, str) and name), None)


def _in_user_id(user_id: object) -> object:
    if not isinstance(user_id, str):
        return None
    if user_id.startswith("{"):
        return mapping(parse(user_id.encode("utf-8", "replace"))).get("session_id")
    match = _IN_USER_ID.search(user_id)
    return match and match[1]
