"""Keep secrets out of whatever is stored, logged or exported: the one gate.

Headers that carry credentials are dropped; the credentials in them are then masked wherever else they turn up, such as
in a body that echoes them; parameters of a query string that are named like credentials lose their values. A stored
call tells keys apart by a fingerprint that cannot be turned back, nor compared between stores.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote_plus

# A shorter value is too likely to be an ordinary word of the text that is masked.
MIN_LENGTH = 8

_COOKIE_HEADERS = frozenset({"cookie", "cookie2", "set-cookie", "set-cookie2"})
# A scheme and what belongs to it: RFC 9110, section 11.4.
_SCHEME_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-authorization",
        "x-forwarded-authorization",
        "x-original-authorization",
        "x-proxy-authorization",
        "x-serverless-authorization",
    }
)
_KEY_HEADERS = frozenset(
    {
        "access-token",
        "api-key",
        "api-token",
        "apikey",
        "auth-token",
        "cf-access-client-secret",
        "cf-access-jwt-assertion",
        "cf-access-token",
        "ocp-apim-subscription-key",
        "private-token",
        "token",
        "x-access-token",
        "x-amz-security-token",
        "x-amzn-oidc-accesstoken",
        "x-amzn-oidc-data",
        "x-api-key",
        "x-api-token",
        "x-apikey",
        "x-auth-key",
        "x-auth-request-access-token",
        "x-auth-token",
        "x-csrf-token",
        "x-forwarded-access-token",
        "x-functions-key",
        "x-goog-api-key",
        "x-goog-iap-jwt-assertion",
        "x-id-token",
        "x-ms-token-aad-access-token",
        "x-ms-token-aad-id-token",
        "x-ms-token-aad-refresh-token",
        "x-secret-key",
        "x-vault-token",
        "x-xsrf-token",
    }
)
SECRET_HEADERS = _COOKIE_HEADERS | _SCHEME_HEADERS | _KEY_HEADERS

_SECRET_PARAMETERS = frozenset(
    {
        "access_key",
        "access_token",
        "api_key",
        "api_secret",
        "api_token",
        "apikey",
        "auth",
        "auth_token",
        "authorization",
        "client_secret",
        "id_token",
        "key",
        "passwd",
        "password",
        "pwd",
        "refresh_token",
        "secret",
        "secret_key",
        "sig",
        "signature",
        "token",
        "x_amz_credential",
        "x_amz_security_token",
        "x_amz_signature",
        "x_api_key",
        "x_goog_api_key",
    }
)
# A name may follow a ";" too, but a value reaches to the next "&": the URL standard knows no other separator.
_PARAMETER_NAME = re.compile(r"(?:^|;)([^;=]*)=")
_BEARER = re.compile(r"(?:bearer\s+)+", re.IGNORECASE)
_MASK = b"*"


def strip_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers without those in `SECRET_HEADERS`, the others in their order and as they were."""
    return [(name, value) for name, value in headers if name.strip().lower() not in SECRET_HEADERS]


def credentials(headers: Iterable[tuple[str, str]]) -> tuple[bytes, ...]:
    """Return the secret values in the headers, longest first, without repetition, those under 8 bytes left out.

    These are: of `Bearer X` the X; of `Basic X` the X and the password in it (where that is empty, the user name); of
    another scheme what follows it; the value of a key header; the value of each cookie, without quotes.
    """
    found = {_to_bytes(value) for header in headers for value in _secret_values(*header)}
    return tuple(sorted((value for value in found if len(value) >= MIN_LENGTH), key=lambda value: (-len(value), value)))


def mask(data: bytes, secrets: Sequence[bytes]) -> bytes:
    """Replace every occurrence of every secret by as many `*` as it has bytes, so that offsets stay what they were.

    Give the secrets longest first, as `credentials` does, where one may be a part of another.
    """
    for secret in secrets:
        if secret and secret in data:
            data = data.replace(secret, _MASK * len(secret))
    return data


def mask_text(text: str, secrets: Sequence[bytes]) -> str:
    """Replace every occurrence of every secret by as many `*` as it has characters."""
    for secret in secrets:
        word = secret.decode("utf-8", "surrogateescape")
        if word and word in text:
            text = text.replace(word, _MASK.decode() * len(word))
    return text


def strip_query(query: str) -> str:
    """Replace the values of parameters that are named like credentials by `***`; all else stays as it was.

    Names are compared without regard to case, percent-encoding and the difference between `-` and `_`.
    """
    return "&".join(_strip_parameter(parameter) for parameter in query.split("&"))


def fingerprint(credential: bytes, store_key: bytes) -> str:
    """Return 16 hexadecimal digits that stand for a credential in one store: BLAKE2b under its key (up to 64 bytes)."""
    return hashlib.blake2b(credential, key=store_key, digest_size=8).hexdigest()


def _secret_values(name: str, value: str) -> Iterator[str]:
    name, value = name.strip().lower(), value.strip()
    if name in _SCHEME_HEADERS:
        yield from _authorization_values(value)
    elif name in _KEY_HEADERS:
        yield value
        yield _BEARER.sub("", value, count=1)
    elif name in _COOKIE_HEADERS:
        # What follows the first pair of a Set-Cookie are attributes such as the path.
        pairs = value.split(";")[: 1 if name.startswith("set-") else None]
        yield from (pair.partition("=")[2].strip().strip('"') for pair in pairs)


def _authorization_values(value: str) -> Iterator[str]:
    scheme, *rest = value.split(maxsplit=1) or [""]
    # Without a scheme the whole value is the key; with one, some clients repeat it before the key.
    token = _BEARER.sub("", rest[0] if rest else value, count=1)
    yield token
    if scheme.lower() == "basic":
        yield _basic_password(token)


def _basic_password(token: str) -> str:
    try:
        decoded = base64.b64decode(token + "=" * (-len(token) % 4), validate=True)
    except ValueError:
        return ""
    user, _, password = decoded.partition(b":")
    return (password or user).decode("utf-8", "surrogateescape")


def _strip_parameter(parameter: str) -> str:
    for match in _PARAMETER_NAME.finditer(parameter):
        name = unquote_plus(match[1]).strip("? ").lower().replace("-", "_")
        if name in _SECRET_PARAMETERS and match.end() < len(parameter):
            return parameter[: match.end()] + "***"
    return parameter


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
