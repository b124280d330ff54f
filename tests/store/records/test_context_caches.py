"""The rows of context caches."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.records import context_caches, exchanges
from moonpalace_addons.store.records.context_caches import Claim

WANTED = Claim("https://api", "f" * 16, b"\x01" * 16, 3, 5000, "kimi-k3", now=1000, until=2000)


def made(engine: Engine, claim: Claim = WANTED, *, cache_id: str = "cache-1", expires_at: int = 5000) -> int:
    """Record a ready cache; return its number."""
    number = context_caches.claim(engine, claim)
    assert number is not None
    assert context_caches.finish(engine, number, cache_id, tokens=42, expires_at=expires_at)
    return number


def alive(engine: Engine, now: int, claim: Claim = WANTED) -> list[str | None]:
    """Return the ids of the usable caches."""
    return [cache.cache_id for cache in context_caches.alive(engine, claim.endpoint, claim.key_fingerprint, now)]


def test_life(engine: Engine) -> None:
    """A cache is claimed, ready, used, and over when it expires."""
    number = context_caches.claim(engine, WANTED)
    assert number is not None
    (row,) = context_caches.all_caches(engine)
    assert (row.id, row.state, row.cache_id, row.uses, row.expires_at) == (number, "creating", None, 0, 2000)
    assert alive(engine, 1500) == []
    assert context_caches.finish(engine, number, "cache-1", tokens=42, expires_at=5000)
    assert (alive(engine, 4999), alive(engine, 5000)) == (["cache-1"], [])
    assert context_caches.touch(engine, number, uses=2, used_at=4000, expires_at=9000)
    assert alive(engine, 5000) == ["cache-1"]
    (row,) = context_caches.all_caches(engine)
    assert (row.uses, row.used_at, row.tokens, row.prefix_messages, row.prefix_bytes) == (2, 4000, 42, 3, 5000)


@pytest.mark.parametrize(
    ("again", "is_granted"),
    [
        (replace(WANTED, now=1999), False),
        (replace(WANTED, now=2000, until=3000), True),
        (replace(WANTED, endpoint="https://other"), True),
        (replace(WANTED, key_fingerprint="0" * 16), True),
        (replace(WANTED, prefix_hash=b"\x02" * 16), True),
    ],
)
def test_claims(engine: Engine, again: Claim, is_granted: bool) -> None:
    """A prefix is claimed once for each endpoint and key, until the claim expires."""
    assert context_caches.claim(engine, WANTED) is not None
    assert (context_caches.claim(engine, again) is not None) is is_granted


def test_an_expired_cache_is_claimed_again(engine: Engine) -> None:
    """The row of an expired cache is taken over and reset."""
    number = made(engine)
    assert context_caches.claim(engine, replace(WANTED, now=4999)) is None
    assert context_caches.claim(engine, replace(WANTED, now=5000, until=6000)) == number
    (row,) = context_caches.all_caches(engine)
    assert (row.state, row.cache_id, row.tokens, row.created_at, row.expires_at) == ("creating", None, None, 5000, 6000)


def test_many_claims_at_once(engine: Engine) -> None:
    """Of several simultaneous claims exactly one succeeds."""
    granted: list[int | None] = []
    threads = [threading.Thread(target=lambda: granted.append(context_caches.claim(engine, WANTED))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([number for number in granted if number is not None]) == 1
    assert len(granted) == 8


def test_keys_do_not_mix(engine: Engine) -> None:
    """Caches of another key or endpoint are not usable."""
    made(engine)
    other = replace(WANTED, key_fingerprint="0" * 16)
    made(engine, other, cache_id="cache-2")
    assert (alive(engine, 1500), alive(engine, 1500, other)) == (["cache-1"], ["cache-2"])
    assert alive(engine, 1500, replace(WANTED, endpoint="https://other")) == []


def test_find(engine: Engine) -> None:
    """A cache is found by its number and by the API's id."""
    number = made(engine)
    for name in (str(number), "cache-1"):
        result = context_caches.find(engine, name)
        assert result is not None
        assert result.id == number
    for name in ("0", "cache-2", "", "9" * 30, "9" * 5_000, "²"):
        assert context_caches.find(engine, name) is None


def test_rows_that_are_gone(engine: Engine) -> None:
    """Writing to a deleted row reports that."""
    number = made(engine)
    context_caches.forget(engine, [number])
    assert context_caches.touch(engine, number, uses=1, used_at=1, expires_at=1) is False
    assert context_caches.finish(engine, number, "cache-1", tokens=None, expires_at=1) is False
    assert context_caches.all_caches(engine) == []


def test_unused(engine: Engine) -> None:
    """Caches not used since a time are deleted and returned."""
    made(engine)
    later = made(engine, replace(WANTED, prefix_hash=b"\x02" * 16, now=3000), cache_id="cache-2")
    assert [cache.cache_id for cache in context_caches.pop_unused(engine, 3000)] == ["cache-1"]
    assert [cache.id for cache in context_caches.all_caches(engine)] == [later]
    assert context_caches.pop_unused(engine, 3000) == []


@pytest.mark.parametrize(("expired_at", "left"), [(None, []), (5000, ["cache-2"]), (0, ["cache-2", "cache-1"])])
def test_clear(engine: Engine, expired_at: int | None, left: list[str]) -> None:
    """All are deleted, or only expired ones."""
    made(engine)
    made(engine, replace(WANTED, prefix_hash=b"\x02" * 16), cache_id="cache-2", expires_at=6000)
    assert context_caches.clear(engine, expired_at=expired_at) == 2 - len(left)
    assert [cache.cache_id for cache in context_caches.all_caches(engine)] == left


def test_a_row_says_no_more_that_a_cache_was_created(engine: Engine, add: Callable[..., int]) -> None:
    """Only the row of the call changes, once, and only if it says so."""
    outcomes = {"a": "created", "b": "created", "c": "hit", "d": None}
    for uuid, outcome in outcomes.items():
        add(uuid=uuid, cache_outcome=outcome)
    assert [context_caches.withdraw_created(engine, uuid) for uuid in ("a", "a", "c", "d", "e")] == [
        True,
        False,
        False,
        False,
        False,
    ]
    found = {call.uuid: call.cache_outcome for call in exchanges.latest(engine, limit=None)}
    assert found == outcomes | {"a": "miss"}
