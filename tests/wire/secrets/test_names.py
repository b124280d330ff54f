"""Which names mean a credential."""

import pytest

from moonpalace_addons.wire.secrets.names import is_secret, is_secret_member
from tests.tables import for_each

SECRET = """
Authorization AUTHORIZATION authorization Proxy-Authorization X-Forwarded-Authorization cf-aig-authorization
Helicone-Auth X-Api-Key Api-Key apikey X-ApiKey x-portkey-api-key x-litellm-api-key anthropic-api-key x-goog-api-key
openai-api-key x-portkey-virtual-key Ocp-Apim-Subscription-Key X-Secret-Key X-Auth X-Auth-Token X-Auth-Key
Private-Token token X-Id-Token X-CSRF-Token x-xsrf-token X-Vault-Token X-Amz-Security-Token X-Amzn-Oidc-AccessToken
x-ms-token-aad-access-token X-Session-Token Session-Token X-Session Cookie Cookie2 Set-Cookie Set-Cookie2
cf-access-jwt-assertion X-Hub-Signature-256 Authentication-Info key sig signature accessToken apiKey APIKey password
passwd pwd secret client_secret access_key X-Amz-Credential X-Goog-Signature refresh_token jsessionid
""".split()  # noqa: SIM905 - so it can be read

HARMLESS = """
max_tokens prompt_cache_key Msh-Context-Cache-Token-Saved X-RateLimit-Remaining-Tokens x-ratelimit-limit-tokens
anthropic-ratelimit-tokens-remaining x-claude-code-session-id session_id idempotency-key X-Idempotency-Key
x-parent-session-id Sec-WebSocket-Key WWW-Authenticate Proxy-Authenticate Access-Control-Allow-Credentials monkey keys
tokenizer key_id
Author Authority X-Request-Id Host User-Agent Content-Type Keep-Alive x-litellm-key-spend token_type passthrough
bypass
""".split()  # noqa: SIM905


def test_names_that_tell() -> None:
    """One such word is enough in a header or parameter, in any spelling."""
    assert [name for name in SECRET if not is_secret(name) or not is_secret(f" {name} ")] == []


def test_names_that_do_not() -> None:
    """Counts, ids and similar names are not credentials, though they contain such a word."""
    assert [name for name in (*HARMLESS, "", "-", "月") if is_secret(name) or is_secret_member(name)] == []


@for_each(
    "name",
    ["api_key", "apiKey", "x-api-key", "password", "access_token", "refresh_token", "authorization", "Authorization",
     "authorization_token", "client_secret", "private_key", "secret_access_key", "aws_session_token"],
)  # fmt: skip
def test_members_that_tell(name: str) -> None:
    """In a body a name must say whose key or token it is."""
    assert is_secret_member(name)


@pytest.mark.parametrize(
    "name",
    ["token", "key", "signature", "session", "page_token", "next_token", "eos_token", "cache_key", "primary_key"],
)
def test_members_that_mean_something_else(name: str) -> None:
    """The token of log probabilities and the signature of a thought are not credentials."""
    assert not is_secret_member(name)


def test_long_names_cost_little() -> None:
    """Only the beginning of a very long name is checked."""
    assert not is_secret("x" * 10_000_000 + "-key")
