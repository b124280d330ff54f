"""Automatic caching of prompts."""

import httpx
import pytest

from moonpalace_cli.mock.prefix_caching import PrefixCaching
from tests.scenarios.server import MockServer
from tests.tables import for_each

TOOLS = [{"type": "function"}]


def system(tokens: int, letter: str = "a") -> dict[str, object]:
    """Return a message with this many tokens."""
    return {"role": "system", "content": letter * 4 * tokens}


def user(text: str) -> dict[str, object]:
    """Return a short message."""
    return {"role": "user", "content": text}


IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:1"}}]}
OTHER_IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:2"}}]}


@for_each(
    ("first", "second", "cached"),
    [
        ([system(255)], [system(255)], 0),
        ([system(256)], [system(256)], 256),
        ([system(600)], [system(600), user("x")], 512),
        ([system(600), user("x")], [system(600), user("y")], 512),
        ([system(200), system(200, "b")], [system(200), system(200, "b")], 256),
        ([system(200), system(200, "b")], [system(200), system(200, "c")], 0),
        ([system(300), system(300, "b")], [system(300), system(300, "c")], 256),
        ([system(600)], [system(600) | {"role": "user"}], 0),
        ([system(600)], [system(600) | {"name": "n"}], 0),
        ([system(600)], [system(599), user("x")], 512),
        ([IMAGE], [IMAGE], 1024),
        ([IMAGE], [OTHER_IMAGE], 0),
        ([user("1"), system(600)], [user("2"), system(600)], 0),
    ],
)
def test_blocks(first: list[dict[str, object]], second: list[dict[str, object]], cached: int) -> None:
    """The whole blocks that two prompts share at their beginning are cached, for the first prompt none."""
    caching = PrefixCaching()
    assert caching.cached_tokens("o", "m", first, None) == 0  # type: ignore[arg-type]
    assert caching.cached_tokens("o", "m", second, None) == cached  # type: ignore[arg-type]


@pytest.mark.parametrize(("owner", "model", "tools"), [("p", "m", None), ("o", "n", None), ("o", "m", TOOLS)])
def test_nothing_is_shared(owner: str, model: str, tools: object) -> None:
    """Prompts with another key, model or tools share nothing with the cached ones."""
    caching = PrefixCaching()
    caching.cached_tokens("o", "m", [system(600)], None)  # type: ignore[list-item]
    assert caching.cached_tokens(owner, model, [system(600)], tools) == 0  # type: ignore[list-item, arg-type]
    assert caching.cached_tokens("o", "m", [system(600)], None) == 512  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("model", "cached"), [("kimi-k3", 512), ("mock-echo", 512), ("moonshot-v1-8k", 0), ("mock-cache", 0)]
)
def test_in_answers(own_mock: MockServer, own_client: httpx.Client, model: str, cached: int) -> None:
    """Usage and headers have the number of cached tokens; the older models do not cache automatically."""
    body = {"model": model, "messages": [system(600), user("hi")]}
    first, second = (own_client.post("/v1/chat/completions", json=body) for _ in range(2))
    assert first.json()["usage"]["cached_tokens"] == 0
    assert second.json()["usage"]["cached_tokens"] == cached
    assert [answer.headers["msh-cache"] for answer in (first, second)] == ["updated", "hit" if cached else "updated"]
    assert "msh-context-cache-id" not in second.headers
