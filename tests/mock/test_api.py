"""Keys, headers that change the pace, and the endpoints other than chat."""

import socket

import httpx
import pytest

from moonpalace_cli.mock.scenarios import Times
from tests.scenarios.all_scenarios import scenarios
from tests.scenarios.server import MockServer

CHAT = {"model": "mock-echo", "messages": [{"role": "user", "content": "Hello 月亮"}]}


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer sk-wrong", "Bearer sk-wrong-1"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/x")])
def test_keys(client: httpx.Client, method: str, path: str, key: str) -> None:
    """Without a key, or with a wrong one, every path answers 401, and the answer does not repeat the key."""
    answer = client.request(method, path, json=CHAT, headers={"Authorization": key})
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "incorrect_api_key_error")
    assert "sk-wrong" not in answer.text


def test_headers(client: httpx.Client) -> None:
    """An answer has headers with the request id, the account and the duration."""
    headers = client.post("/v1/chat/completions", json=CHAT).headers
    names = {"msh-uid", "msh-gid", "msh-org-id", "msh-project-id", "msh-trace-mode", "msh-cache", "date"}
    assert names <= set(headers)
    assert [len(part) for part in headers["msh-request-id"].split("-")] == [8, 4, 4, 4, 12]
    assert headers["server-timing"].startswith("inner; dur=")
    assert "msh-context-cache-id" not in headers


def test_models(client: httpx.Client) -> None:
    """All scenarios are listed, each with a line that describes it."""
    answer = client.get("/v1/models").json()
    assert answer["object"] == "list"
    assert {model["id"] for model in answer["data"]} == set(scenarios(Times()))
    assert all(model["description"] and "\n" not in model["description"] for model in answer["data"])


@pytest.mark.parametrize(
    ("model", "status"), [("mock-nothing", 404), ("mock-", 404), ("kimi-k2.6", 200), ("moonshot-v1-8k", 200)]
)
def test_unknown_models(client: httpx.Client, model: str, status: int) -> None:
    """A name with the prefix of scenarios must be one; any other name answers like mock-echo."""
    answer = client.post("/v1/chat/completions", json=CHAT | {"model": model})
    assert answer.status_code == status
    if status == 404:
        assert answer.json()["error"]["type"] == "resource_not_found_error"
        assert "GET /v1/models" in answer.json()["error"]["message"]
    else:
        assert (answer.json()["model"], answer.json()["choices"][0]["message"]["content"]) == (model, "Hello 月亮")


def test_estimate(client: httpx.Client) -> None:
    """The estimate is the number of prompt tokens that the chat endpoint would count."""
    estimate = client.post("/v1/tokenizers/estimate-token-count", json=CHAT).json()
    assert estimate == {"data": {"total_tokens": 3}}
    assert client.post("/v1/chat/completions", json=CHAT).json()["usage"]["prompt_tokens"] == 3


def test_balance(client: httpx.Client) -> None:
    """The balance is the sum of vouchers and cash."""
    data = client.get("/v1/users/me/balance").json()["data"]
    assert data["available_balance"] == data["voucher_balance"] + data["cash_balance"]


def test_files(client: httpx.Client) -> None:
    """An uploaded file is listed, described, returned byte for byte, and gone after it is deleted."""
    content = bytes(range(256)) * 10
    made = client.post("/v1/files", files={"file": ("月.bin", content)}, data={"purpose": "file-extract"}).json()
    assert (made["object"], made["bytes"], made["filename"], made["purpose"]) == (
        "file",
        2560,
        "月.bin",
        "file-extract",
    )
    assert made in client.get("/v1/files").json()["data"]
    assert client.get(f"/v1/files/{made['id']}").json() == made
    assert client.get(f"/v1/files/{made['id']}/content").content == content
    assert client.delete(f"/v1/files/{made['id']}").json()["deleted"] is True
    assert client.get(f"/v1/files/{made['id']}/content").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/models"),
        ("PUT", "/v1/caching"),
        ("POST", "/v1/caching/cache-1"),
        ("PUT", "/v1/files/file-1"),
        ("GET", "/v1/files/file-1/content/more"),
        ("DELETE", "/v1/files/file-none"),
    ],
)
def test_nothing_else_is_there(client: httpx.Client, method: str, path: str) -> None:
    """Any other path or method is answered with 404 in the API's format."""
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "resource_not_found_error")


@pytest.mark.parametrize(
    ("path", "headers", "content"),
    [
        ("/v1/chat/completions", {}, b"{"),
        ("/v1/chat/completions", {"X-Mock-Delay": "soon"}, b""),
        ("/v1/chat/completions", {"X-Mock-Delay": "-1"}, b""),
        ("/v1/chat/completions", {"X-Mock-Delay": "nan"}, b""),
        ("/v1/chat/completions", {"X-Mock-Events": "1e9"}, b""),
        ("/v1/tokenizers/estimate-token-count", {}, b"[]"),
        ("/v1/files", {}, b""),
    ],
)
def test_bad_requests(client: httpx.Client, path: str, headers: dict[str, str], content: bytes) -> None:
    """Invalid requests are answered with 400 in the API's format."""
    sent = content or b'{"messages": [{"role": "user", "content": "x"}]}'
    answer = client.post(path, content=b"" if path == "/v1/files" else sent, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_100_mb_are_taken(shared_mock: MockServer) -> None:
    """A body of 100 MB, the largest that the API accepts, is read and answered."""
    image = b'{"type":"image_url","image_url":{"url":"data:image/png;base64,' + b"A" * 100_000_000 + b'"}}'
    body = b'{"messages":[{"role":"user","content":[' + image + b"]}]}"
    head = "POST /v1/tokenizers/estimate-token-count HTTP/1.1\r\nHost: mock\r\nAuthorization: Bearer sk-test\r\n"
    with socket.create_connection(("127.0.0.1", shared_mock.port), 30) as connection:
        connection.sendall(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        connection.sendall(body)
        with connection.makefile("rb") as answer:
            assert answer.read().endswith(b'{"data":{"total_tokens":1024}}')
