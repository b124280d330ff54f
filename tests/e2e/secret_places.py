"""Places where a key may stand in a call: one table, for the gate and for the search behind it.

`{key}` has a form that an issuer gives, `{word}` none, so that only the name of its place tells; each place has a key
and a word of its own. What the key of a call comes back as (in part, in base64, …) is told by the call's own header.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

CHAT = "/v1/chat/completions"
OWN = "Authorization: Bearer {key}"
JSON = "Content-Type: application/json"
EVENTS = "Content-Type: text/event-stream"
OK = '{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"content":"%s"}}]}'


@dataclass(frozen=True, slots=True)
class Place:
    """A call with a key in it: what the client sends and upstream answers, as text with `{key}` and `{word}`.

    If it is `packed`, both bodies are sent as gzip.
    """

    name: str
    target: str = CHAT
    method: str = "POST"
    headers: tuple[str, ...] = ()
    body: str = '{"model":"kimi-k3","messages":[{"role":"user","content":"hi"}]}'
    status: str = "200 OK"
    answer_headers: tuple[str, ...] = (JSON,)
    answer: str = OK % "ok"
    pieces: Callable[[str], list[str]] = field(default=lambda text: [text])
    packed: bool = False

    def filled(self, text: str, key: str, word: str) -> str:
        """Return a text with the secrets of this place."""
        variants = {"part": key[:20], "end": key[-16:], "base64": base64.b64encode(f"me:{key}".encode()).decode()}
        variants["twice"] = quote(quote(key, safe="").replace("-", "%2D"))
        variants |= {"quoted": quote(key, safe="").replace("-", "%2D"), "escaped": key.replace("-", "\\u002d")}
        for name, value in {"key": key, "word": word, **variants}.items():
            text = text.replace(f"{{{name}}}", value)
        return text


def header(name: str, value: str = "{word}") -> Place:
    """Return a place in a header of the request."""
    return Place(f"request header {name}", headers=(f"{name}: {value}",))


def answer_header(name: str, value: str = "{word}") -> Place:
    """Return a place in a header of the answer."""
    return Place(f"answer header {name}", answer_headers=(JSON, f"{name}: {value}"))


def query(parameter: str) -> Place:
    """Return a place in the query."""
    return Place(f"query {parameter}", target=f"{CHAT}?a=1&{parameter}&z=2")


def path(target: str) -> Place:
    """Return a place in the path."""
    return Place(f"path {target}", target=target)


def in_request(name: str, body: str, *headers: str) -> Place:
    """Return a place in the body of the request."""
    return Place(f"request body, {name}", body=body, headers=headers)


def in_answer(name: str, answer: str, status: str = "200 OK") -> Place:
    """Return a place in the body of the answer, which may be derived from the call's own key."""
    return Place(f"answer, {name}", headers=(OWN,), answer=answer, status=status)


def delta(**members: object) -> str:
    """Return an event."""
    choice = {"index": 0, "delta": members}
    return f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"


def in_fours(make: Callable[[str], str]) -> Callable[[str], list[str]]:
    """Return a function that makes a stream with a key in pieces of four characters."""
    return lambda secret: [*(make(secret[at : at + 4]) for at in range(0, len(secret), 4)), delta(content=" ."), DONE]


DONE = "data: [DONE]\n\n"


def streamed(name: str, make: Callable[[str], str], *headers: str) -> Place:
    """Return a place in a stream, with the key spread over its deltas."""
    return Place(f"stream, {name}", headers=headers, answer_headers=(EVENTS,), answer="{key}", pieces=in_fours(make))


def call_of(text: str) -> str:
    return delta(tool_calls=[{"index": 0, "function": {"arguments": text}}])


def anthropic(text: str) -> str:
    event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return f"event: content_block_delta\ndata: {json.dumps(event)}\n\n"


def response(text: str) -> str:
    event = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "delta": text}
    return f"event: response.output_text.delta\ndata: {json.dumps(event)}\n\n"


PLACES = (
    header("Authorization", "Bearer {word}"),
    header("authorization", "{word}"),
    header("Authorization", "Token {word}"),
    header("Authorization", "Bearer {key}"),
    header("Proxy-Authorization", "Basic {word}"),
    *map(
        header,
        """
        X-Api-Key api-key apikey Helicone-Auth cf-aig-authorization x-portkey-api-key x-litellm-api-key
        anthropic-api-key x-goog-api-key X-Auth-Token X-Access-Token Ocp-Apim-Subscription-Key X-Amz-Security-Token
        X-CSRF-Token X-Session-Token X-My-Secret X-User-Password X-Request-Signature X-Aws-Credential
        X-Forwarded-Authorization
        """.split(),  # noqa: SIM905
    ),
    header("Cookie", "theme=dark; session={word}"),
    header("X-Anything", "it is {key}"),
    header("X-Request-Id", "{key}"),
    header("Referer", "https://me:{word}@example.org/"),
    header("Referer", "https://example.org/?access_token={word}"),
    header("x-portkey-config", '{"provider":"openai","api_key":"{word}"}'),
    header("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.{word}, openai-beta.realtime-v1"),
    header("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/x, SignedHeaders=host, Signature={word}"),
    *map(header, ("Authorisation", "Grpc-Metadata-Macaroon", "X-Api-Keys", "X-Pat")),
    header("Cookie", "{word}"),
    header("{key}", "x"),
    header("X-Original-URL", "/v1/{word}/chat/completions"),
    header("X-Config", '[{"api_key":"{word}"}]'),
    header("X-Config", "{'api_key': '{word}'}"),
    header("X-Config", r'{"headers":"{\"X-Api-Key\": \"{word}\"}"}'),
    header("X-Debug", "x-api-key: {word}"),
    Place(
        "WebSocket upgrade",
        method="GET",
        target="/v1/realtime?model=kimi-k3",
        headers=(
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{word}",
        ),
        body="",
        status="426 Upgrade Required",
    ),
    query("key={word}"),
    query("api_key={word}"),
    query("access_token={word}"),
    query("api%5Fkey={word}"),
    query("X-Amz-Signature={word}"),
    query("q={key}"),
    query("q={quoted}"),
    query("{key}"),
    query("next=https%3A%2F%2Fexample.org%2F%3Fapi_key%3D{word}"),
    query("config=%7B%22api_key%22%3A%22{word}%22%7D"),
    query("api%255Fkey={word}"),
    query("b=c?key={word}"),
    query("b=c#access_token={word}"),
    query("header=X-Api-Key:{word}"),
    path("/v1/{key}/chat/completions"),
    path("/v1/{word}/chat/completions"),
    path("/{word}/v1/messages"),
    path("/bot{key}/sendMessage"),
    path("/v1/chat;token={word}/completions"),
    path("/v1/keys/{word}"),
    path("/v1/chat/completions#access_token={word}"),
    in_request("a message", '{"messages":[{"role":"user","content":"use {key}, please"}]}'),
    in_request("a member", '{"api_key":"{word}","messages":[]}'),
    in_request("headers of a tool", '{"tools":[{"type":"mcp","headers":{"Authorization":"Bearer {word}"}}]}'),
    in_request("a tool's token", '{"mcp_servers":[{"authorization_token": "{word}"}]}'),
    in_request("a password in a URL", '{"messages":[{"content":"postgres://me:{word}@db/x"}]}'),
    in_request("after an escape", r'{"messages":[{"content":"the key:\n{key}\n"}]}'),
    in_request("JSON in a string", r'{"messages":[{"arguments":"{\"key\": \"{key}\"}"}]}'),
    in_request("a form", "grant_type=x&client_secret={word}&b=c", "Content-Type: application/x-www-form-urlencoded"),
    in_request("an upload", '--x\r\nContent-Disposition: form-data; name="api_key"\r\n\r\n{word}\r\n--x--\r\n'),
    in_request("plain text", "Bearer {key}"),
    in_request("arguments of a tool", r'{"messages":[{"arguments":"{\"api_key\": \"{word}\"}"}]}'),
    in_request("JSON in JSON in a string", r'{"a":"{\"b\": \"{\\\"access_token\\\": \\\"{word}\\\"}\"}"}'),
    in_request("a signed URL", '{"messages":[{"image_url":{"url":"https://b/x.png?a=1&X-Amz-Signature={word}"}}]}'),
    in_request("a token in a URL", '{"messages":[{"content":"git clone https://{word}@example.org/x"}]}'),
    in_request("a token before a password", '{"messages":[{"content":"https://{word}:x-oauth-basic@example.org/x"}]}'),
    in_request("a file of settings", r'{"messages":[{"content":"A=1\nMOONSHOT_API_KEY={word}\nB=2\n"}]}'),
    in_request("a header in a command", """{"messages":[{"content":"curl -H 'x-api-key: {word}' https://b"}]}"""),
    in_request(
        "Basic in a command", """{"messages":[{"content":"curl -H 'Authorization: Basic {base64}' https://b"}]}"""
    ),
    in_request("YAML", "api_key: {word}\nmodel: x\n"),
    in_request("code", """{"messages":[{"content":"OpenAI(api_key='{word}')"}]}"""),
    in_request("pairs", '{"headers":[["Authorization","{word}"]]}'),
    in_request("names and values", '{"env":[{"name":"API_KEY","value":"{word}"}]}'),
    in_request("a list", '{"api_keys":["{word}"]}'),
    in_request("XML", "<a><api_key>{word}</api_key></a>"),
    in_request("Chinese", '{"messages":[{"content":"密码：{word}"}]}'),
    in_request("a form with blanks", "a=b c&client_secret={word}", "Content-Type: application/x-www-form-urlencoded"),
    in_request(
        "an upload with a preamble", "\r\n--x\r\nContent-Disposition: form-data; name=token\r\n\r\n{word}\r\n--x--\r\n"
    ),
    in_request("an upload with LF", '--x\nContent-Disposition: form-data; name="token"\n\n{word}\n--x--\n'),
    Place("request body, packed", body='{"api_key":"{word}","b":"{key}"}', answer='{"b":"{key}"}', packed=True),
    Place(
        "request body, a member in an error",
        body='{"client_secret":"{word}"}',
        status="401 No",
        answer='{"error":{"message":"{word} is wrong"}}',
    ),
    Place(
        "request header OAuth in an error",
        headers=('Authorization: OAuth oauth_token="{word}", oauth_nonce="1"',),
        status="401 No",
        answer='{"error":{"message":"{word} is wrong"}}',
    ),
    Place(
        "request header Cookie in an error",
        headers=("Cookie: {word}",),
        status="401 No",
        answer='{"error":{"message":"{word} is wrong"}}',
    ),
    Place("own key in a message", headers=("X-Api-Key: {word}",), body='{"messages":[{"content":"is it {word}?"}]}'),
    answer_header("Set-Cookie", "session={word}; Path=/"),
    answer_header("X-Api-Key"),
    answer_header("X-Echo", "{key}"),
    answer_header("Msh-Request-Id", "{key}"),
    answer_header("WWW-Authenticate", 'Bearer error_description="{key} is wrong"'),
    answer_header("Location", "https://{word}@example.org/"),
    answer_header("Location", "https://{word}:@example.org/"),
    answer_header("Location", "https://example.org/?next=https%3A%2F%2Fb%2F%3Fapi_key%3D{word}"),
    answer_header("Refresh", "0; url=https://example.org/?access_token={word}"),
    answer_header("{key}", "x"),
    Place(
        "Location",
        target=f"{CHAT}?api_key={{word}}",
        status="307 Temporary Redirect",
        answer_headers=(JSON, f"Location: https://other{CHAT}?api_key={{word}}"),
    ),
    Place(
        "query in an error", target=f"{CHAT}?key={{word}}", status="401 No", answer='{"error":{"message":"{word}?"}}'
    ),
    in_answer("content", OK % "{key}"),
    in_answer(
        "an error", '{"error":{"type":"auth","message":"Incorrect API key provided: {key}"}}', "401 Unauthorized"
    ),
    in_answer("an error's type", '{"error":{"type":"{key}","message":"no"}}', "401 Unauthorized"),
    in_answer("a part in an error", '{"error":{"message":"Incorrect API key {part}..."}}', "401 Unauthorized"),
    in_answer("its end in an error", '{"error":{"message":"Incorrect API key ...{end}"}}', "401 Unauthorized"),
    in_answer("in base64", '{"error":{"message":"got {base64}"}}', "401 Unauthorized"),
    in_answer("percent-encoded", '{"error":{"message":"got {quoted}"}}', "401 Unauthorized"),
    in_answer("escaped", '{"error":{"message":"got {escaped}"}}', "401 Unauthorized"),
    in_answer("HTML", "<h1>401</h1><p>{key}</p>", "401 Unauthorized"),
    in_answer("a model", '{"id":"{key}","model":"{key}","object":"chat.completion","choices":[]}'),
    in_answer("a member", '{"access_token":"{word}","token_type":"bearer"}'),
    in_answer("percent-encoded twice", '{"error":{"message":"https://b/?a={twice}"}}', "401 Unauthorized"),
    in_answer("in a reason", OK % "ok", "401 not {key}"),
    Place("stream, ids", answer_headers=(EVENTS,), answer="id: {key}\nevent: {key}\nretry: {key}\n" + delta() + DONE),
    Place("stream, one delta", headers=(OWN,), answer_headers=(EVENTS,), answer=delta(content="{key}") + DONE),
    Place("stream, a comment", headers=(OWN,), answer_headers=(EVENTS,), answer=": {key}\n\n" + DONE),
    Place(
        "stream, an error", headers=(OWN,), answer_headers=(EVENTS,), answer='data: {"error":{"message":"{key}"}}\n\n'
    ),
    streamed("own key over content", lambda text: delta(content=text), OWN),
    streamed("foreign key over content", lambda text: delta(content=text)),
    streamed("over reasoning", lambda text: delta(reasoning_content=text), OWN),
    streamed("over arguments", call_of, OWN),
    Place(
        "stream, a member over arguments",
        answer_headers=(EVENTS,),
        answer="{word}",
        pieces=lambda word: [
            *map(call_of, ('{"api_', 'key": ', '"', *(word[at : at + 3] for at in range(0, len(word), 3)), '"}')),
            DONE,
        ],
    ),
    streamed("over an unknown member", lambda text: delta(thoughts=text), OWN),
    streamed("over Anthropic's deltas", anthropic, OWN),
    streamed("over those of responses", response, OWN),
)
"""All of them; the numbers that make their secrets are their places here."""


def secrets_of(number: int) -> tuple[str, str]:
    """Return the key and the word of a place."""
    return f"sk-{number:03d}Rt9pLm2Vb8Nc4Kd6Hf1Gj5Ts0YaQe{number:03d}", f"{number:03d}wQ7zX3rT9pLm2vB8{number:03d}"
