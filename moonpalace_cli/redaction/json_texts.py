"""Collect the texts of JSON: its keys and strings, and those of JSON in its strings."""

import json

from moonpalace_addons.wire.json_text import refuse_constant
from moonpalace_cli.redaction.json_strings import MAX_JSON_DEPTH

type Pairs = list[tuple[str, object]]


def texts_in(text: str, depth: int = 0) -> list[str]:
    """Return the keys and strings of JSON text, numbers left out; any other text is returned as it is.

    These are the texts that `json_strings.replacements` passes to its visitor.
    """
    if depth >= MAX_JSON_DEPTH or text.lstrip()[:1] not in ("{", "["):
        return [text]
    texts: list[str] = []

    def values(pairs: Pairs) -> list[object]:
        texts.extend([key for key, _ in pairs])
        return [value for _, value in pairs]

    try:
        # Pairs, since a dictionary would lose all but the last of equal keys.
        found = json.loads(
            text, object_pairs_hook=values, parse_int=bool, parse_float=bool, parse_constant=refuse_constant
        )
    except (ValueError, RecursionError):
        return [text]
    waiting = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            texts += texts_in(value, depth + 1)
    return texts
