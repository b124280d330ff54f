"""Context caches: created, listed, looked up, used, expired, deleted, and refused to others."""

import time
from collections.abc import Iterator

import httpx
import pytest

from moonpalace_cli.mock.scenarios import Times
from tests.scenarios.server import MockServer

CHAT, CACHING = "/v1/chat/completions", "/v1/caching"
KEY = {"Authorization": "Bearer sk-test"}
OTHER_KEY = {"Authorization": "Bearer sk-another"}
SYSTEM = {"role": "system", "content": "abcd" * 300}
QUESTION = {"role": "user", "content": "hello"}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        """Return the seconds since 1970."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Provide the mock's clock."""
    return Clock()


@pytest.fixture
def client(clock: Clock) -> Iterator[httpx.Client]:
    """Provide a client of a separate mock."""
    with (
        MockServer(times=Times(headers=0.01), clock=clock) as mock,
        httpx.Client(base_url=mock.url, headers=KEY, verify=False, trust_env=False) as client,
    ):
        yield client


def made(client: httpx.Client, **more: object) -> dict[str, object]:
    """Create a cache; return its description."""
    answer = client.post(CACHING, json={"model": "mock-cache", "messages": [SYSTEM], "ttl": 60, **more})
    assert answer.status_code == 200, answer.text
    described: dict[str, object] = answer.json()
    return described


def use(client: httpx.Client, cache_id: object, reset: str | None = None, **more: object) -> httpx.Response:
    """Send a request that uses a cache."""
    headers = {"X-Msh-Context-Cache": str(cache_id)} | ({"X-Msh-Context-Cache-Reset-TTL": reset} if reset else {})
    body = {"model": "mock-cache", "messages": [SYSTEM, QUESTION], **more}
    return client.post(CHAT, json=body, headers=headers)


def error(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the type of an error."""
    return answer.status_code, answer.json()["error"]["type"]


def test_use(client: httpx.Client) -> None:
    """A request that begins with a cache saves its tokens, as headers and usage say."""
    cache = made(client)
    assert (cache["status"], cache["tokens"], cache["object"]) == ("ready", 300, "context_cache")
    answer = use(client, cache["id"])
    assert answer.headers["msh-context-cache-id"] == cache["id"]
    assert answer.headers["msh-context-cache-token-saved"] == "300"
    assert answer.headers["msh-cache"] == "hit"
    assert answer.json()["usage"]["cached_tokens"] == 300
    assert answer.json()["usage"]["prompt_tokens_details"] == {"cached_tokens": 300}


def test_life(client: httpx.Client, clock: Clock) -> None:
    """A cache expires; using it with the header renews it, using it without does not."""
    cache = made(client)
    assert cache["expired_at"] == int(clock.now + 60)
    clock.now += 50
    assert use(client, cache["id"], "100").status_code == 200
    assert client.get(f"{CACHING}/{cache['id']}").json()["expired_at"] == int(clock.now + 100)
    clock.now += 90
    assert use(client, cache["id"]).status_code == 200
    clock.now += 20
    assert error(use(client, cache["id"])) == (404, "resource_not_found_error")
    assert client.get(CACHING).json()["data"] == []


def test_list_and_delete(client: httpx.Client) -> None:
    """All caches of a key are listed; a deleted one is gone."""
    first, second = made(client, metadata={"a": "b"}), made(client)
    assert client.get(CACHING).json() == {"object": "list", "data": [first, second]}
    assert first["metadata"] == {"a": "b"}
    assert client.delete(f"{CACHING}/{first['id']}").json()["deleted"] is True
    assert client.get(f"{CACHING}/{first['id']}").status_code == 404
    assert client.delete(f"{CACHING}/{first['id']}").status_code == 404


def test_keys(client: httpx.Client) -> None:
    """For another key the cache does not exist; a wrong key is refused before that."""
    cache = made(client)
    path = f"{CACHING}/{cache['id']}"
    for method in ("GET", "DELETE"):
        assert client.request(method, path, headers=OTHER_KEY).status_code == 404
        assert client.request(method, path, headers={"Authorization": "Bearer sk-wrong"}).status_code == 401
    assert client.get(CACHING, headers=OTHER_KEY).json()["data"] == []
    body = {"model": "mock-cache", "messages": [SYSTEM, QUESTION]}
    named = OTHER_KEY | {"X-Msh-Context-Cache": str(cache["id"])}
    assert error(client.post(CHAT, json=body, headers=named)) == (404, "resource_not_found_error")
    assert use(client, cache["id"]).status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"messages": [{"role": "system", "content": "other"}, QUESTION]}, 400, "other messages"),
        ({"messages": [QUESTION]}, 400, "other messages"),
        ({"messages": [SYSTEM | {"name": "x"}, QUESTION]}, 400, "other messages"),
        ({"tools": TOOLS}, 400, "other tools"),
        ({"model": "kimi-k3"}, 400, "for the model mock-cache"),
        ({"reset": "0"}, 400, "Reset-TTL"),
        ({"reset": "soon"}, 400, "Reset-TTL"),
        ({}, 200, ""),
    ],
)
def test_what_a_cache_does_not_fit(client: httpx.Client, change: dict[str, object], status: int, word: str) -> None:
    """A request that does not begin with the cache is refused with 400."""
    answer = use(client, made(client)["id"], **change)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert word in answer.text


def test_sizes_of_a_model_share_caches(client: httpx.Client) -> None:
    """A cache for moonshot-v1 serves its sizes, with its tools."""
    cache = made(client, model="moonshot-v1", tools=TOOLS)
    assert use(client, cache["id"], model="moonshot-v1-32k", tools=TOOLS).json()["usage"]["cached_tokens"] == 300


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": [1]}, {"messages": [SYSTEM], "ttl": 0}])
def test_bad_requests(client: httpx.Client, body: dict[str, object]) -> None:
    """Invalid descriptions of a cache are refused with 400."""
    assert error(client.post(CACHING, json=body)) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("model", "status"),
    [("mock-cache-404", 404), ("mock-cache-405", 405), ("mock-cache-410", 410), ("mock-cache-500", 500)],
)
def test_failing_creation(client: httpx.Client, model: str, status: int) -> None:
    """With these names no cache can be created."""
    assert client.post(CACHING, json={"model": model, "messages": [SYSTEM]}).status_code == status


def test_pending(client: httpx.Client) -> None:
    """With this name a cache is not ready, and cannot be used, until it has been looked up twice."""
    cache = made(client, model="mock-cache-pending")
    assert cache["status"] == "pending"
    assert "not ready" in use(client, cache["id"], model="mock-cache-pending").text
    assert [client.get(f"{CACHING}/{cache['id']}").json()["status"] for _ in range(2)] == ["pending", "ready"]
    assert use(client, cache["id"], model="mock-cache-pending").json()["usage"]["cached_tokens"] == 300


def test_error_state(client: httpx.Client) -> None:
    """With this name a cache gets the status error with a reason, and cannot be used."""
    cache = made(client, model="mock-cache-error")
    assert (cache["status"], "error" in cache) == ("error", True)
    assert use(client, cache["id"], model="mock-cache-error").status_code == 400


@pytest.mark.parametrize(("model", "status"), [("mock-cache-lost", 404), ("mock-cache-refused", 400)])
def test_refused_use(client: httpx.Client, model: str, status: int) -> None:
    """With these names a cache is created but its use is refused, with a message that names it."""
    cache = made(client, model=model)
    answer = use(client, cache["id"], model=model)
    assert answer.status_code == status
    assert str(cache["id"]) in answer.text


def test_ignored_use(client: httpx.Client) -> None:
    """With this name a request is answered as if it named no cache."""
    cache = made(client, model="mock-cache-ignored")
    answer = use(client, cache["id"], model="mock-cache-ignored")
    assert answer.json()["usage"]["cached_tokens"] == 0
    assert "msh-context-cache-id" not in answer.headers


def test_slow_creation(client: httpx.Client) -> None:
    """With this name the answer is slow, and is a cache."""
    assert made(client, model="mock-cache-slow")["status"] == "ready"


def test_stalled_creation(client: httpx.Client) -> None:
    """With this name the answer begins but never ends."""
    with pytest.raises(httpx.ReadTimeout):
        client.post(CACHING, json={"model": "mock-cache-stall", "messages": [SYSTEM]}, timeout=0.3)


def test_no_caching() -> None:
    """The whole path can be missing, as in today's API."""
    with MockServer(caching=False) as mock, httpx.Client(base_url=mock.url, headers=KEY, trust_env=False) as client:
        answers = [client.post(CACHING, json={"messages": [SYSTEM]}), client.get(CACHING)]
    assert [answer.status_code for answer in answers] == [404, 404]
