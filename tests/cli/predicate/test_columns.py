"""Predicates on columns that are expressions."""

from typing import Any

import pytest

from moonpalace_addons.store.query.condition import condition
from moonpalace_addons.store.records import exchanges

HEADERS = "Accept: application/json\r\nUser-Agent: OpenAI/Python 1.82.0\r\nX-A: 1\r\n" + "X-B: 2\r\n" * 5


@pytest.mark.parametrize(
    ("predicate", "found"),
    [
        ("request_header ~ 'content-length: 97'", [1]),
        ("request_headers ~ 'Content-Length: 98'", [2]),
        ("request_header % 'Length: 9[0-9]'", [1, 2]),
        ("request_header ~ 'openai'", [1, 2]),
        ("request_header == 'A: b'", [3]),
        ("request_header != 'A: b' && request_header", [1, 2]),
        ("len(request_header) == 4", [3]),
    ],
)
def test_headers_of_requests(store: Any, predicate: str, found: list[int]) -> None:
    """Headers are compared as displayed, whether or not they are shared."""
    for length in (97, 98):
        store.add(request_headers=f"{HEADERS}Content-Length: {length}\r\n", request_bytes=length)
    store.add(request_headers="A: b")
    calls = exchanges.latest(store.engine, limit=None, where=condition([predicate], store.engine))
    assert [call.id for call in reversed(calls)] == found
