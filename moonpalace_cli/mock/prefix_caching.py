"""The automatic caching of newer models: the prefix that a prompt shares with earlier ones, in blocks."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from moonpalace_cli.mock.chat_request import Json, canonical, count_tokens, message_text, message_tokens

BLOCK = 256  # tokens
BYTES_PER_TOKEN = 4
MAX_BLOCKS = 200_000  # the oldest give way


class PrefixCaching:
    """Remember prompts block by block."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, None] = OrderedDict()

    def cached_tokens(self, owner: str, model: str, messages: Sequence[dict[str, Json]], tools: Json) -> int:
        """Return the tokens that a prompt shares with an earlier one of the same key and model; remember it."""
        blocks = block_hashes(canonical([owner, model, tools]), messages)
        shared = next((number for number, block in enumerate(blocks) if block not in self._blocks), len(blocks))
        for block in blocks:
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > MAX_BLOCKS:
            self._blocks.popitem(last=False)
        return shared * BLOCK


def block_hashes(seed: str, messages: Sequence[dict[str, Json]]) -> list[bytes]:
    """Return a hash for each complete block of a prompt; it covers everything up to the block's end."""
    state, filled = hashlib.sha256(seed.encode()), 0
    hashes: list[bytes] = []
    for message in messages:
        text = message_text(message).encode("utf-8", "surrogatepass")
        # All but the text comes first, so that no block ends between it and what it belongs to.
        state.update(canonical(message | {"content": None if isinstance(message.get("content"), str) else ""}).encode())
        tokens, position = message_tokens(message), 0
        attached = tokens - count_tokens(message_text(message))
        if attached:
            state.update(canonical(message).encode())
        while tokens:
            used = min(BLOCK - filled, tokens)
            state.update(text[position : position + used * BYTES_PER_TOKEN])
            position += used * BYTES_PER_TOKEN
            tokens -= used
            filled = (filled + used) % BLOCK
            if not filled:
                hashes.append(state.copy().digest())
    return hashes
