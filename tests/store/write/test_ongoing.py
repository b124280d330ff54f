"""Tests of answers in progress."""

import json
import zlib
from collections import deque

import pytest

from moonpalace_addons.store.tasks import ResponseStarted
from moonpalace_addons.store.write.ongoing import Answer
from tests.tables import for_each
from tests.tasks import ENCODERS

KEY = b"ab-0123456789"
OTHER = b"cookie-cookie-cookie"
RANDOM = "Wq7Zx3Rt9pLm2Vb8Nc4Kd6Hf1Gj5Ts0YaQe"


def answer(*secrets: bytes, encoding: str | None = None) -> Answer:
    started = ResponseStarted("u", 1, 200, "X-Echo: ab-0123456789\r\n", "text/plain", encoding, deque())
    return Answer(started, tuple(sorted(secrets, key=len, reverse=True)))


def take(given: Answer, *chunks: bytes) -> bytes:
    for chunk in chunks:
        given.started.chunks.append((len(given.chunks) + len(given.started.chunks), chunk))
    return given.fresh()[0]


def test_what_is_new_comes_once() -> None:
    """Each call of `fresh` returns the data since the last one, with offsets and times of its chunks."""
    given = answer()
    given.started.chunks.extend([(5, b"ab"), (7, b"cde")])
    assert given.fresh() == (b"abcde", [(2, 5), (5, 7)])
    assert given.fresh() == (b"", [])
    given.started.chunks.append((9, b"f"))
    assert given.fresh() == (b"f", [(6, 9)])
    assert given.close().body == b"abcdef"
    assert given.close().chunks == [(2, 5), (5, 7), (6, 9)]


@pytest.mark.parametrize(
    "text", [b"key ab-0123456789, cookie cookie-cookie-cookie.", b"ab-0123456789", b"ab-0123456789" * 4]
)
def test_a_secret_is_masked_wherever_it_is_cut(text: bytes) -> None:
    """At every pair of cuts, with `fresh` called at each, no piece has a secret, and the pieces form the answer."""
    masked = text.replace(KEY, b"*" * len(KEY)).replace(OTHER, b"*" * len(OTHER))
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            given = answer(KEY, OTHER)
            pieces = b"".join(take(given, part) for part in (text[:first], text[first:second], text[second:]))
            assert masked.startswith(pieces)
            assert len(pieces) >= len(text) - len(OTHER)
            assert given.close().body == masked


def test_a_secret_that_comes_byte_by_byte_is_masked() -> None:
    """It is masked also if every byte is flushed, and the offsets refer to the whole."""
    text = b"a ab-0123456789 b ab-0123456789"
    given = answer(KEY)
    pieces = b"".join(take(given, text[number : number + 1]) for number in range(len(text)))
    assert pieces == b"a ************* b *************"
    assert [offset for offset, _ in given.close().chunks] == list(range(1, len(text) + 1))


def test_a_chunk_is_told_of_once_all_of_it_is_handed_out() -> None:
    """The time of a chunk whose end is held back is returned with its last bytes."""
    given = answer(KEY)
    given.started.chunks.append((5, b"0123456789 ab-0"))
    assert given.fresh() == (b"0123456789 ", [])
    assert given.fresh() == (b"", [])
    given.started.chunks.append((6, b"ther"))
    assert given.fresh() == (b"ab-0ther", [(15, 5), (19, 6)])


@for_each(
    ("secret", "after"),
    [
        (f"sk-{RANDOM}", ""),
        (f"ghp_{RANDOM}", ""),
        (f"SG.{RANDOM[:22]}.{RANDOM}", ""),
        (f"AKIA{RANDOM[:16].upper()}", ""),
        (f"ALTAK-{RANDOM}/{RANDOM}{RANDOM}", ""),
        (f"eyJ{RANDOM}.eyJ{RANDOM}.{RANDOM}", ""),
        (f"-----BEGIN PRIVATE KEY-----\n{RANDOM * 20}\n-----END PRIVATE KEY-----", ""),  # longer than any other
        (RANDOM, "@host"),
    ],
)
@for_each("before", ["", "\n", "密钥是", "it is "])
def test_a_secret_by_its_form_is_masked_when_the_store_asks_at_each_event(secret: str, after: str, before: str) -> None:
    """Only an ambiguous beginning of the secret is returned, in events and in a JSON document."""
    text = f"{before}{'https://user:' if after else ''}{secret}{after} is mine"
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    given = answer()
    events = b"".join(take(given, b'data: {"text": %b}\n\n' % json.dumps(piece).encode()) for piece in pieces)
    document = json.dumps({"text": text}).encode()
    given = answer()
    whole = b"".join(take(given, document[at : at + 3]) for at in range(0, len(document), 3))
    handed_out = "".join(json.loads(event[6:])["text"] for event in events.split(b"\n\n")[:-1])
    for out in (handed_out, json.loads(whole)["text"]):
        assert out.startswith(before)
        assert out.endswith(" is mine")
        assert not any(secret[at : at + 6] in out for at in range(len(secret) - 5))


@pytest.mark.parametrize("text", [b"no key here", b"a", b"ab-0123456780", b"b-0123456789", b"ab-ab-012345678"])
def test_nothing_is_held_back_that_begins_no_secret(text: bytes) -> None:
    """All bytes that cannot begin a secret are returned at once, and the rest when it was none."""
    given = answer(KEY, OTHER)
    begun = next(count for count in range(len(text), -1, -1) if KEY.startswith(text[len(text) - count :]))
    assert take(given, text) == text[: len(text) - begun]
    assert take(given, b"!") == text[len(text) - begun :] + b"!"


def test_headers_are_masked() -> None:
    """A secret recognised by its header's name is masked, and known from then on."""
    started = ResponseStarted("u", 1, 200, "Set-Cookie: id=0123456789; Path=/\r\n", "text/plain", None, deque())
    given = Answer(started, (KEY,))
    assert given.heading().headers == "Set-Cookie: ***\r\n"
    assert set(given.secrets) == {KEY, b"0123456789"}


@pytest.mark.parametrize("encoding", [None, "gzip", "deflate", "br", "zstd", "gzip, br"])
def test_an_encoded_answer_is_decoded_as_it_comes(encoding: str | None) -> None:
    """With any encoding and at every cut, the pieces are the decoded text, with offsets in it."""
    text = b"data: 1\n\ndata: 2\n\n" * 3
    sent = ENCODERS[encoding](text)
    for cut in range(len(sent) + 1):
        given = answer(encoding=encoding)
        pieces = take(given, sent[:cut]) + take(given, sent[cut:])
        assert pieces == text
        received = given.close()
        assert (received.body, received.chunks[-1][0], received.problem) == (text, len(text), None)


def test_a_flushed_encoding_is_decoded_incrementally() -> None:
    """Data flushed by an encoder is returned before the answer ends."""
    encoder = zlib.compressobj(wbits=31)
    given = answer(encoding="gzip")
    for text in (b"first", b"second"):
        assert take(given, encoder.compress(text) + encoder.flush(zlib.Z_SYNC_FLUSH)) == text


@pytest.mark.parametrize(("sent", "body"), [(b"no gzip at all", b"no gzip at all"), (b"\x1f\x8b\x08", b"\x1f\x8b\x08")])
def test_a_broken_encoding_keeps_the_bytes(sent: bytes, body: bytes) -> None:
    """Bytes that do not match the header are kept unchanged, and the error is reported."""
    given = answer(encoding="gzip")
    take(given, sent)
    received = given.close()
    assert received.body == body
    assert received.problem


def test_a_representation_shows_no_content() -> None:
    """Tracebacks and logs contain neither the secrets nor the body."""
    given = answer(KEY)
    take(given, b"private words, many of them")
    shown = repr(given)
    assert "private" not in shown
    assert "secrets" not in shown
