"""Detect names of credentials: of a header, a query parameter, or a JSON member.

A name is split into words: `X-Api-Key`, `api_key`, `apiKey` and `apikey` are equivalent. In headers and parameters one
such word is enough. In bodies, words such as key and token have other meanings (a `token` of logprobs, the `signature`
of a thought), so another word has to name the owner.
"""

import re
from functools import lru_cache

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")


def _each(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ALWAYS_SECRET = _each(
    """
    accesskey accesstoken apikey apikeys apisecret apitoken assertion authkey authorisation authorization authtoken
    bearer clientsecret cookie cookies credential credentials idtoken jwt macaroon passcode passphrase passwd
    password passwords privatekey pwd refreshtoken secret secretkey secrets sessiontoken
    """
)
"""Words that name a credential everywhere."""

_SECRET_IN_HEADERS = _each(
    """
    auth authentication authn authz csrf hmac jsessionid key oauth otp pass pat phpsessid pw session sessionid sig
    signature token xsrf
    """
)
"""Words that name one in a header or parameter."""

_OWNERS = _each(
    """
    access account admin anthropic api app auth authorization aws azure bearer bot client consumer csrf deploy
    encryption gateway github gitlab goog google hf id identity integration kimi license llm login master moonshot oauth
    openai personal private project proxy push refresh secret security server service session shared signing ssh
    subscription upstream user vault virtual webhook xsrf
    """
)
"""Owners whose key or token is a credential, in names of body members."""

_SECRET_SUFFIXES = (
    "apikey",
    "token",
    "secret",
    "password",
    "passwd",
    "authorization",
    "credential",
    "credentials",
    "cookie",
)
"""Endings of joined words in header names: `accesstoken`, `cookie2`."""

_METADATA_WORDS = _each(
    """
    alg algorithm budget count exp expiration expires expiry hash length limit method name remaining reset saved scheme
    size spend status ttl type usage used version
    """
)
"""Last words of names that describe a credential but are not one: `token_type`, `Msh-Context-Cache-Token-Saved`."""

_HARMLESS = _each(
    """
    access-control-allow-credentials cache-key helicone-session-id helicone-session-name helicone-session-path
    idempotency-key key-id prompt-cache-key public-key sec-websocket-key session-id surrogate-key
    x-claude-code-session-id x-idempotency-key x-opencode-session x-parent-session-id x-public-key
    x-session-affinity x-session-id
    """
)
"""Names that look like a credential's but are known not to be: they group calls, or name a cache or a retry.

Session IDs are among them: agents send one with each call, and calls are grouped by it.
"""

_MAX_NAME_LENGTH = 100
"""Maximum characters of a name that are read and cached."""


def is_secret(name: str) -> bool:
    """Return whether a header or a parameter of this name contains a credential."""
    return _is_secret(name[:_MAX_NAME_LENGTH].strip())


def is_secret_member(name: str) -> bool:
    """Return whether a JSON member of this name contains a credential, if it is a string."""
    return _is_secret_member(name[:_MAX_NAME_LENGTH])


@lru_cache(2048)
def _is_secret(name: str) -> bool:
    words = _words(name)
    if _is_harmless(name, words):
        return False
    return _are_keys(words) or any(
        word in _ALWAYS_SECRET or word in _SECRET_IN_HEADERS or word.endswith(_SECRET_SUFFIXES) for word in words
    )


@lru_cache(2048)
def _is_secret_member(name: str) -> bool:
    words = _words(name)
    if _is_harmless(name, words):
        return False
    if any(word in _ALWAYS_SECRET for word in words) or _are_keys(words):
        return True
    return words[-1] in ("key", "token", "signature") and not _OWNERS.isdisjoint(words[:-1])


def _are_keys(words: list[str]) -> bool:
    return words[-1] == "keys" and not _OWNERS.isdisjoint(words[:-1])  # "tokens" is mostly a count


def _is_harmless(name: str, words: list[str]) -> bool:
    known = {name.lower().replace("_", "-"), "-".join(words)}
    return not words or words[-1] in _METADATA_WORDS or not known.isdisjoint(_HARMLESS)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
