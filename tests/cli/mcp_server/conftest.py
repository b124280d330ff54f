"""A store with calls, and the tools that read it."""

import json
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from moonpalace_cli.mcp_server import tools
from moonpalace_cli.mcp_server.reading import Options, Reader
from tests.cli.conftest import Store

type Ask = Callable[..., str]


def body(*messages: tuple[str, str], **members: object) -> bytes:
    """Return a request with these messages."""
    listed = [{"role": role, "content": content} for role, content in messages]
    return json.dumps({"model": "kimi-k3", "messages": listed, **members}, ensure_ascii=False).encode()


def completion(text: str, **members: object) -> bytes:
    """Return an answer with this text."""
    message = {"role": "assistant", "content": text, **members}
    return json.dumps({"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}).encode()


@pytest.fixture
def url(store: Store) -> str:
    """Give the URL of the store."""
    return store.engine.url.render_as_string()


@pytest.fixture
def reader(url: str) -> Iterator[Reader]:
    """Give the reader of a server with its defaults."""
    found = Reader(Options(url))
    yield found
    found.close()


@pytest.fixture
def ask(reader: Reader) -> Ask:
    """Give a function that calls a tool with these arguments and returns the answer."""
    return lambda name, said=None, **arguments: tools.answer(reader, cast(str, name), arguments, said)
