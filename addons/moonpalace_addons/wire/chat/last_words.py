"""The last words of the user in a request, on any of the API's faces."""

import re
from collections.abc import Iterator

from moonpalace_addons.wire.json_value import mapping

MAX_LENGTH = 400
"""Characters that are kept: the words are shown in one line."""
MAX_LOOKED_AT = 50
"""Messages looked at, from the last one: an agent's results of tools may be many."""
INJECTED = re.compile(r"\s*<(?:system-reminder|environment_context|user_instructions|command-)")
"""How texts begin that an agent puts into the user's messages."""


def last_words(request: object) -> str:
    """Return the beginning of the user's last text in a parsed request, empty if there is none."""
    body = mapping(request)
    messages = body.get("messages", body.get("input", body.get("prompt")))
    if isinstance(messages, str):
        return messages[:MAX_LENGTH]
    turns = messages[: -MAX_LOOKED_AT - 1 : -1] if isinstance(messages, list) else []
    return next((text[:MAX_LENGTH] for turn in turns for text in texts_of_user(turn)), "")


def texts_of_user(message: object) -> Iterator[str]:
    """Yield the texts of a message, the last first; none unless it is the user's own."""
    fields = mapping(message)
    if fields.get("role") != "user":
        return
    content = fields.get("content")
    blocks = content[::-1] if isinstance(content, list) else [content]
    for block in blocks:
        text = mapping(block).get("text") if isinstance(block, dict) else block
        if isinstance(text, str) and text.strip() and not INJECTED.match(text):
            yield text
