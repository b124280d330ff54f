"""Tests of checking a model's answer."""

import json

import pytest

from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_cli.explaining.asking import Asking, AskingError
from moonpalace_cli.explaining.keeping import explanation_in
from moonpalace_cli.explaining.target import Target
from tests.exchanges import an_exchange

ASKING = Asking(Target(Endpoint("http://127.0.0.1:9"), "m"), b"{}", 1)
ANSWER = json.dumps(
    {"choices": [{"index": 0, "message": {"content": "It was cut."}, "finish_reason": "stop"}]}
).encode()


@pytest.mark.parametrize("status", [200, 201])
def test_an_explanation(status: int) -> None:
    """With any successful status the text of the answer is the explanation."""
    call = an_exchange(status_code=status, path="/v1/chat/completions", finish_reason="stop")
    assert explanation_in(ASKING, call, ANSWER) == "It was cut."


@pytest.mark.parametrize("status", [302, 429, None])
def test_no_explanation(status: int | None) -> None:
    """A redirection and an error are not explanations, whatever their body says."""
    call = an_exchange(status_code=status, path="/v1/chat/completions", finish_reason="stop")
    with pytest.raises(AskingError, match="gave no explanation"):
        explanation_in(ASKING, call, ANSWER)
