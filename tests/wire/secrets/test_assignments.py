"""Values in running text that are secret by their names."""

from collections.abc import Callable

import pytest

from moonpalace_addons.wire.secrets.assignments import begun
from moonpalace_addons.wire.secrets.patterns import find_in
from tests.linear import takes_linear_time
from tests.tables import for_each

VALUE = "wQ7zX3rT9pLm2vB8"

NAMED = [
    "MOONSHOT_API_KEY={}",
    "export DB_PASSWORD='{}'",
    "x-api-key: {}",
    "curl -H 'Authorization: Basic {}'",
    "OpenAI(api_key='{}')",
    'api_key = "{}"',
    "https://b/?a=1&X-Amz-Signature={}",
    "https://b/?token={}&a=1",
    "https%3A%2F%2Fb%2F%3Fapi_key%3D{}",
    "%7B%22api_key%22%3A%20%22{}%22%7D",
    '{{"a": "{{\\"api_key\\": \\"{}\\"}}"}}',
    '{{"a": "{{\\\\\\"api_key\\\\\\":\\\\\\"{}\\\\\\"}}"}}',
    '{{"a": "b:\\napi_key: {}\\n"}}',
    '{{"api_key"\n:\n  "{}"}}',
    '{{"api_keys": ["{}"]}}',
    '[["Authorization", "{}"]]',
    '[{{"name": "API_KEY", "value": "{}"}}]',
    "{{'api_key': '{}'}}",
    "<api_key>{}</api_key>",
    "密码：{}",
    '{{"\\u5bc6\\u94a5": "{}"}}',
    "https://{}@example.org/",
    "https://{}:@example.org/",
    "https://{}:x-oauth-basic@example.org/",
]


@for_each("text", NAMED)
def test_a_named_value_is_found(text: str) -> None:
    """Exactly the value is found."""
    data = text.format(VALUE).encode()
    start = data.index(VALUE.encode())
    assert (start, start + len(VALUE)) in [(found.start, found.end) for found in find_in(data)]


@for_each(
    "text",
    [
        "api_key=os.environ['MOONSHOT_API_KEY_2024']",
        "api_key: your-api-key-comes-here-1",
        "private_key = x25519.X25519PrivateKey.generate()",
        "self._x25519_private_key = x25519_private_key_of_the_server",
        "access_token=my_token_2024_01_02_03",
        f"prompt_cache_key: {VALUE}",
        f"Idempotency-Key: {VALUE}",
        f'{{"token": "{VALUE}"}}',
        f"the token {VALUE} is",
        f"key = {VALUE}",
        f"page_token={VALUE}",
        f"api_key_hash: {VALUE}",
        "api_key: 1234567890123456",
        "api_key: ****************",
        f"https://example.org/{VALUE}",
        f"id={VALUE}@example.org",
    ],
)
def test_what_is_not_named(text: str) -> None:
    """Names in code, placeholders, numbers and ordinary names are ignored."""
    assert list(find_in(text.encode())) == []


@for_each("text", NAMED[:20])
def test_what_may_become_one(text: str) -> None:
    """An unfinished text is held back from the name on, until the value is complete."""
    before = text.format(VALUE).partition(VALUE)[0].encode()
    for length in range(len(VALUE) + 1):
        held = begun(before + VALUE[:length].encode())
        assert length < held <= length + len(before)
    assert begun(before + VALUE.encode() + b'" and more') == 0


@pytest.mark.parametrize("piece", ["api_key=", "api_key: '", '\\"', "[[", "%22", "a1", '"a1b2c3d4e5f6g7h8": ', "key "])
def test_time_is_linear(piece: str) -> None:
    """A long text takes linear time."""

    def prepare(length: int) -> Callable[[], object]:
        data = (piece * (length // len(piece)) + VALUE).encode()
        return lambda: list(find_in(data))

    assert takes_linear_time(prepare, 20_000)
