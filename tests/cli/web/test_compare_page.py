"""Two calls side by side, and the calls around one."""

import re
import time
from typing import Any

import httpx
import pytest

from tests.cli.conftest import Store
from tests.cli.web import samples
from tests.cli.web.samples import completion, message, request

JSON = {"Accept": "application/json"}


def test_changes_are_marked_within_the_text(store: Store, client: httpx.Client) -> None:
    """Words that differ are marked on both sides, messages that are equal are collapsed."""
    same = message("system", "Be brief.")
    store.add(request=request(same, message("user", "Say one thing"), temperature=0.5), response=completion("A cat."))
    store.add(request=request(same, message("user", "Say two things"), temperature=1), response=completion("A dog."))
    page = client.get("/compare?call=2&call=1").text
    for marked in ("Say <del>one thing</del>", "Say <ins>two things</ins>", "A <del>cat</del>.", "A <ins>dog</ins>."):
        assert marked in page
    assert re.search(r"<td><del>0\.5</del>\s*</td><td><ins>1</ins>\s*</td>", page)
    assert "<summary>1 the same</summary>" in page
    document = client.get("/compare?call=2&call=1", headers=JSON).json()
    assert (document["calls"], document["parameters"]) == ([1, 2], {"temperature": ["0.5", "1"]})


def test_any_two_calls(store: Store, client: httpx.Client) -> None:
    """Any two calls can be compared, without active content from them."""
    makers = (samples.truncated, samples.hostile, samples.running, samples.refused, samples.tool_use)
    made = [make(store.add) for make in makers]
    for other in made[1:]:
        path = f"/compare?call={made[0]}&call={other}&q=id+%3E+0"
        page = client.get(path)
        assert page.status_code == 200
        assert page.text.count("<script") == 1
        assert not re.search(r"<[^>]* (on\w+|style)=", page.text.replace("&#34;", ""))
        assert "\u202e" not in page.text
        assert client.get(path, headers=JSON).json()["calls"] == [made[0], other]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("call=1", 400),
        ("call=1&call=1", 400),
        ("call=1&call=x", 400),
        ("call=1&call=1&call=2", 400),
        ("call=1&call=99", 404),
        ("call=1&call=99999999999999999999", 404),
    ],
)
def test_not_two_calls(store: Store, client: httpx.Client, query: str, status: int) -> None:
    """Anything but two calls is refused in one line."""
    samples.plain(store.add)
    answer = client.get(f"/compare?{query}", headers=JSON)
    assert (answer.status_code, len(answer.json()["error"]["message"].splitlines())) == (status, 1)


def test_two_megabytes(store: Store, client: httpx.Client) -> None:
    """Two calls of two megabytes, similar or not, are compared in time, on a page of a bounded size."""
    words = " ".join(f"word{number % 977}" for number in range(250_000))
    texts = (words, words[:1_000_000] + "CHANGED" + words[1_000_000:], words[::-1])
    for text in texts:
        store.add(request=request(message("user", text)), response=completion(text))
    for other in (2, 3):
        started = time.process_time()
        page = client.get(f"/compare?call=1&call={other}").text
        assert time.process_time() - started < 5
        assert len(page) < 200_000
        assert ("<ins>" in page, "CHANGED" in page) == (True, other == 2)


def test_many_messages(store: Store, client: httpx.Client) -> None:
    """Calls of thousands of messages, similar or not, are compared in time, and the page says what it left out."""
    alike = [message(("user", "assistant")[number % 2], f"message {number}") for number in range(5_000)]
    others = [message(each["role"], f"other {number} " * 4) for number, each in enumerate(alike)]  # type: ignore[arg-type]
    for messages in (alike, [*alike[:2_500], message("user", "CHANGED"), *alike[2_501:]], others, alike[-1:]):
        store.add(request=request(*messages), response=completion("yes"))
    for pair, texts in (
        ((1, 2), (" the same</summary>", "CHANGED")),
        ((1, 3), ("4,900 more that differ", "other 99 ")),
        ((1, 4), ("4,899 more that differ", "message 4999")),
    ):
        started = time.process_time()
        page = client.get(f"/compare?call={pair[0]}&call={pair[1]}").text
        assert time.process_time() - started < 5
        assert len(page) < 500_000
        assert all(text in page for text in texts), pair
        assert "other 100 " not in page


def test_many_parts(store: Store, client: httpx.Client) -> None:
    """A message of thousands of parts is cut, too."""
    for word in ("one", "other"):
        parts = [{"type": "text", "text": f"{word} {number}"} for number in range(2_000)]
        store.add(request=request(message("user", parts)), response=completion("yes"))
    page = client.get("/compare?call=1&call=2").text
    assert page.count("and 1,950 more") == 2


def test_the_conversation_of_a_call(store: Store, client: httpx.Client) -> None:
    """A call links to the calls before and after it in its conversation, and to the comparison with them."""
    first, then = message("user", "one"), [message("assistant", "1"), message("user", "two")]
    made = [samples.plain(store.add, request=request(*messages)) for messages in ([first], [first, *then])]
    samples.plain(store.add)
    page = client.get(f"/calls/{made[1]}/request?q=id+%3C+9").text
    assert f'href="/calls/{made[0]}/request?q=id+%3C+9"' in page
    assert f'href="/compare?call={made[0]}&amp;call={made[1]}&amp;q=id+%3C+9"' in page
    found: Any = client.get(f"/calls/{made[0]}", headers=JSON).json()
    assert found["conversation"] == {"previous": None, "next": made[1], "of": "conversation"}
