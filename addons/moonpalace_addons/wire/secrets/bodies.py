"""Find the secrets in a body, so that they can be masked with all other bytes in place.

Masked are the credentials of the call wherever they occur, everything in the form of a credential (see
`wire.secrets.patterns`), and the values of JSON members, form fields and upload parts named like one. Foreign keys in a
prompt are masked too, by choice: bodies are kept as the client sent them, but no secret is kept at all. A body with a
mask is marked, since it is not what was sent.

An agent resends its history with every call. So recent bodies are cached with their findings, and a prefix that a body
shares with one of them is not searched again; nor are blocks in which nothing was found, which cost no more than their
hash.
"""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_plus

from moonpalace_addons.wire.secrets import patterns
from moonpalace_addons.wire.secrets.names import is_secret, is_secret_member
from moonpalace_addons.wire.secrets.patterns import LOOKAHEAD, LOOKBEHIND, Finding
from moonpalace_addons.wire.secrets.values import KnownCredentials

OWN_CREDENTIAL = "credential of the call"
"""The kind of findings that are known credentials, not recognized ones."""

_BLOCK = 16 * 1024
_MAX_CLEAN_BLOCKS = 10_000
"""Maximum cached blocks, of 160 MB."""
_MAX_BODIES, _MAX_BODY_SIZE = 16, 1_000_000
"""Maximum cached bodies, of 16 MB, and maximum bytes of each."""
_PROBE = 64
"""Bytes in the middle of two bodies that are compared first."""
_MEMBER = re.compile(rb'"([\w.$-]{1,60}+)"\s{0,8}+:\s{0,8}+"')
_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_NAME_REACH = 80
_FORM = re.compile(rb"[\w.%+~\[\]-]{1,100}=[^\s\"{}<>]*\Z")
_FIELD = re.compile(rb"(?:^|&)([^=&]{1,100})=([^&]+)")
_PART = re.compile(
    rb'\bname="?([^"\r\n;]{1,100})[^\r\n]{0,200}\r?\n(?:[^\r\n]{1,1000}\r?\n){0,8}\r?\n([^\r\n]{1,4096})'
)
_UPLOAD = b"form-data"
_UPLOAD_BEGINS = 4096
"""Bytes within which the first part of an upload begins, after any preamble."""

_clean: set[int] = set()


@dataclass(frozen=True, slots=True, eq=False)
class _Body:
    """A cached body, with the findings in its blocks for these credentials."""

    data: bytes
    secrets: tuple[bytes, ...]
    found: tuple[Finding, ...]

    def common_prefix(self, data: bytes) -> int:
        """Return how many leading bytes another body shares; 0 if it is less than half."""
        half = len(self.data) // 2
        if data[half : half + _PROBE] != self.data[half : half + _PROBE]:
            return 0
        same, differs = 0, min(len(data), len(self.data)) + 1
        while differs - same > 1:  # what is before `same` is the same
            middle = (same + differs) // 2
            if data.startswith(self.data[same:middle], same):
                same = middle
            else:
                differs = middle
        return same if same >= half else 0


_bodies: deque[_Body] = deque(maxlen=_MAX_BODIES)


def find(data: bytes, known: KnownCredentials) -> list[Finding]:
    """Return the secrets in a body in order of position, without overlaps."""
    begun, findings = _found_in_common_prefix(data, known) if len(data) >= _BLOCK else (0, [])
    findings += [finding for start in range(begun, len(data), _BLOCK) for finding in _in_block(data, start, known)]
    if _BLOCK <= len(data) <= _MAX_BODY_SIZE:
        _bodies.append(_Body(data, known.secrets, tuple(findings)))
    if data.find(_UPLOAD, 0, _UPLOAD_BEGINS) >= 0:
        findings += _named(_PART.finditer(data))
    elif b"=" in data[:100] and _FORM.match(data):
        findings += _named(_FIELD.finditer(data))
    return patterns.without_overlaps(iter(findings)) if findings else findings


def _found_in_common_prefix(data: bytes, known: KnownCredentials) -> tuple[int, list[Finding]]:
    """Return the size of the prefix shared with an earlier body, and the findings in it.

    What follows the shared part may change a finding near its end, so the search resumes after the last quote in it:
    neither rows of letters nor names continue past a quote, and of a value or a private key that does, the end tells.
    Only a known credential that contains a quote needs more room.
    """
    reach = LOOKAHEAD if any(b'"' in secret for secret in known.secrets) else 0
    for body in reversed([*_bodies]):
        same = body.common_prefix(data) if body.secrets == known.secrets else 0
        begun = data.rfind(b'"', 0, max(0, same - reach)) + 1
        if begun > 0:
            findings = [finding for finding in body.found if finding.start < begun]
            if all(finding.end < same for finding in findings):
                with suppress(ValueError):  # another thread removed it first
                    if same > len(body.data) - _BLOCK:
                        _bodies.remove(body)
                return begun, findings
    return 0, []


def members(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[Finding]:
    """Yield the values of JSON members that are named like a credential and begin in a part of the data."""
    first, stop = max(0, start - _NAME_REACH), len(data) if stop is None else stop
    if not any(map(_names_secret, set(_MEMBER.findall(data, first, stop)))):
        return  # nearly always, and this takes half as long as looking at each member
    for match in _MEMBER.finditer(data, first, stop):
        if _names_secret(match[1]):
            value = _STRING.match(data, match.end())
            if value is not None and value[0].strip(b"*"):
                yield Finding("value named like a credential", *value.span())


@lru_cache(2048)
def _names_secret(name: bytes) -> bool:
    return is_secret_member(name.decode("utf-8", "replace"))


def _in_block(data: bytes, start: int, known: KnownCredentials) -> list[Finding]:
    stop = min(start + _BLOCK, len(data))
    key = hash((data[max(0, start - LOOKBEHIND) : stop + LOOKAHEAD], known.secrets))
    if key in _clean:
        return []
    findings = [Finding(OWN_CREDENTIAL, *span) for span in known.spans(data, start, stop)]
    findings += patterns.find_in(data, start, stop)
    findings += members(data, start, stop)
    if not findings:
        if len(_clean) >= _MAX_CLEAN_BLOCKS:
            _clean.clear()
        _clean.add(key)
    return findings


def _named(matches: Iterator[re.Match[bytes]]) -> Iterator[Finding]:
    for match in matches:
        if is_secret(unquote_plus(match[1].decode("utf-8", "replace"))) and match[2].strip(b"*"):
            yield Finding("value named like a credential", *match.span(2))
