"""Real clients against the mock: the openai SDK and curl."""

import json
import shutil
import subprocess
from collections.abc import Iterator

import openai
import pytest

from tests.scenarios.server import MockServer

CURL = shutil.which("curl") or ""


@pytest.fixture(scope="module")
def sdk(shared_mock: MockServer) -> Iterator[openai.OpenAI]:
    """Provide the SDK, configured for the mock."""
    http = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=f"{shared_mock.url}/v1", api_key="sk-test", max_retries=0, http_client=http) as client:
        yield client


@pytest.mark.parametrize(
    "model",
    [
        "mock-echo",
        "mock-comments",
        "mock-heartbeat",
        "mock-crlf",
        "mock-cr",
        "mock-nospace",
        "mock-split",
        "mock-gzip",
        "mock-deflate",
        "mock-br",
        "mock-until-close",
        "mock-emoji-cjk",
        "mock-empty-choices",
        "mock-usage-both",
    ],
)
def test_the_sdk_reads_what_it_should(sdk: openai.OpenAI, model: str) -> None:
    """The SDK merges a stream to the same result as without one."""
    plain = sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello 月亮 world"}])
    stream = sdk.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hello 月亮 world"}], stream=True
    )
    pieces = [choice.delta.content or "" for chunk in stream for choice in chunk.choices]
    assert plain.choices[0].message.content
    assert "".join(pieces) == plain.choices[0].message.content


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("mock-400", openai.BadRequestError),
        ("mock-401", openai.AuthenticationError),
        ("mock-403", openai.PermissionDeniedError),
        ("mock-nothing", openai.NotFoundError),
        ("mock-429", openai.RateLimitError),
        ("mock-500", openai.InternalServerError),
        ("mock-reset-early", openai.APIConnectionError),
    ],
)
def test_the_sdk_raises_what_it_should(sdk: openai.OpenAI, model: str, error: type[Exception]) -> None:
    """Each failure raises the SDK's exception for it."""
    with pytest.raises(error):
        sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])


def test_the_sdk_lists_models_and_files(sdk: openai.OpenAI) -> None:
    """The lists and objects have the format that the SDK expects."""
    assert "mock-echo" in {model.id for model in sdk.models.list()}
    made = sdk.files.create(file=("a.txt", b"moon"), purpose="assistants")
    assert made.id in {file.id for file in sdk.files.list()}
    assert sdk.files.content(made.id).read() == b"moon"


def curl(mock: MockServer, model: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Request a stream with curl."""
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    url = f"{mock.url}/v1/chat/completions"
    command = [CURL, "-qsN", "--noproxy", "*", "-H", "Authorization: Bearer k", "-d", body, *options, url]
    return subprocess.run(command, capture_output=True, check=False, timeout=10)


@pytest.mark.skipif(not CURL, reason="curl is not installed")
@pytest.mark.parametrize(("model", "code"), [("mock-echo", 0), ("mock-until-close", 0), ("mock-cut", 18)])
def test_curl_sees_the_framing(shared_mock: MockServer, model: str, code: int) -> None:
    """Curl, which checks the end of a transfer, agrees on whether it is complete."""
    result = curl(shared_mock, model)
    assert result.returncode == code
    assert result.stdout.endswith(b"\n\n")
    assert (b"[DONE]" in result.stdout) == (code == 0)


@pytest.mark.skipif(not CURL, reason="curl is not installed")
def test_curl_until_close_over_tls() -> None:
    """With TLS too, the end of the connection is a clean end."""
    with MockServer(tls=True) as mock:
        result = curl(mock, "mock-until-close", "--cacert", mock.ca_file)
    assert (result.returncode, result.stdout[-14:]) == (0, b"data: [DONE]\n\n")
