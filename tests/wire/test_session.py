"""Tests of the sessions that requests name."""

import pytest

from moonpalace_addons.wire.secrets.names import is_secret
from moonpalace_addons.wire.session import HEADERS, MAX_LENGTH, of_request

UUID = "0b9a2c6e-7d3f-4a55-9d3a-1f2e3d4c5b6a"

CASES: dict[str, tuple[dict[str, str], dict[str, object], str | None]] = {
    "Claude Code's header": ({"x-claude-code-session-id": UUID}, {"prompt_cache_key": "other"}, UUID),
    "Claude Code's user": ({}, {"metadata": {"user_id": f"user_0af3_account_{UUID[::-1]}_session_{UUID}"}}, UUID),
    "its newer form": ({}, {"metadata": {"user_id": '{"device_id": "d", "session_id": "s-1"}'}}, "s-1"),
    "Codex": ({"session_id": UUID}, {}, UUID),
    "a cache key": ({}, {"prompt_cache_key": "conversation-7"}, "conversation-7"),
    "metadata": ({}, {"metadata": {"session_id": "m"}, "prompt_cache_key": "k"}, "m"),
    "too long": ({"session-id": "x" * 1000}, {}, "x" * MAX_LENGTH),
    "a user without one": ({}, {"metadata": {"user_id": "user-1"}}, None),
    "broken JSON": ({}, {"metadata": {"user_id": '{"session_id": '}}, None),
    "wrong types": ({"session-id": ""}, {"metadata": [1], "prompt_cache_key": 7}, None),
    "none": ({}, {}, None),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_session_is_no_secret(name: str) -> None:
    """A header with a session is not masked: otherwise its value would be masked everywhere."""
    assert not is_secret(name)


@pytest.mark.parametrize("name", CASES)
def test_session(name: str) -> None:
    """The session is found where clients put it; a header takes precedence over the body."""
    headers, members, expected = CASES[name]
    assert of_request(headers, members) == expected
