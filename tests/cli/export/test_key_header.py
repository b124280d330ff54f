"""Tests that an exported command sends the key in the header in which the client sent it."""

from collections.abc import Callable

import pytest

from moonpalace_addons.wire.secrets.masking import mask_header_text
from moonpalace_cli.calls.reading import Call
from moonpalace_cli.export import curl, httpie, python_script

KEY = "sk-0123456789abcdefghijklmnopqrstuvwxyz"
SENT = [
    ("", "Authorization", "Bearer "),
    (f"Authorization: Bearer {KEY}\r\n", "Authorization", "Bearer "),
    (f"authorization: bearer {KEY}\r\n", "authorization", "bearer "),
    (f"Authorization: {KEY}\r\n", "Authorization", ""),
    (f"X-Api-Key: {KEY}\r\n", "X-Api-Key", ""),
    (f"x-api-key: {KEY}\r\nanthropic-version: 2023-06-01\r\n", "x-api-key", ""),
    (f"api-key: {KEY}\r\n", "api-key", ""),
    (f"x-api-key: {KEY}\r\nAuthorization: Bearer {KEY}\r\n", "Authorization", "Bearer "),
    (f"X-Other-Token: {KEY}\r\n", "Authorization", "Bearer "),
]


@pytest.mark.parametrize(("sent", "name", "scheme"), SENT)
def test_key_header(call: Callable[..., Call], sent: str, name: str, scheme: str) -> None:
    """The caller's key is exactly where the client's was."""
    stored, _ = mask_header_text(f"Accept: */*\r\n{sent}")
    made = call(request_headers=stored)
    before = f'"{scheme}" + ' if scheme else ""
    commands = {
        curl.command(made.exchange, b"{}"): f'-H "{name}: {scheme}$MOONSHOT_API_KEY"',
        httpie.command(made): f'{name}:"{scheme}$MOONSHOT_API_KEY"',
        python_script.script(made): f'putheader("{name}", {before}os.environ["MOONSHOT_API_KEY"])',
    }
    for command, expected in commands.items():
        assert expected in command
        assert command.count("MOONSHOT_API_KEY") == 1
        assert "***" not in command
