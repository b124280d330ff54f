"""The endpoints whose requests are texts: legacy completions and embeddings."""

import base64
import hashlib
import json
import struct
from dataclasses import replace

from moonpalace_cli.mock.answers import (
    EVENTS_BEFORE_ERROR,
    Answer,
    as_one_wait,
    completion_headers,
    completion_of,
    failure_answer,
    json_answer,
)
from moonpalace_cli.mock.chat_request import ChatRequest, Json, chat_request, count_tokens, parse_model, parse_object
from moonpalace_cli.mock.chunks import Streaming, as_chunks
from moonpalace_cli.mock.completions import Completion, Fields, as_answer
from moonpalace_cli.mock.failures import RejectedError, invalid
from moonpalace_cli.mock.scenarios import Scenario
from moonpalace_cli.mock.spelling import DONE

DIMENSIONS = 8
"""The length of an embedding: enough to look like one."""


def parse_completion_request(body: bytes) -> ChatRequest:
    """Parse the body of a request to completions, or raise `RejectedError` with status 400."""
    value = parse_object(body)
    prompt = value.get("prompt")
    texts = prompt if isinstance(prompt, list) else [prompt]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise RejectedError(invalid("prompt must be a string, or a list of strings"))
    members = {name: member for name, member in value.items() if name != "prompt"}
    return chat_request({**members, "messages": [{"role": "user", "content": text} for text in texts]})


def completion_answer(request: ChatRequest, scenario: Scenario) -> Answer:
    """Answer with the contents of a chat completion as texts."""
    failure = scenario.failure or (None if request.stream else scenario.breaks_off)
    if failure is not None:
        return failure_answer(request.digest, failure)
    completion = completion_of(request, scenario)
    headers = completion_headers(request, scenario, completion)
    chunks = [_as_text(completion, chunk) for chunk in as_chunks(completion, _streaming(request, scenario))]
    if not request.stream:
        body = json.dumps(_as_text(completion, as_answer(completion)), ensure_ascii=False).encode("utf-8", "replace")
        return Answer(200, headers, body, delivery=as_one_wait(scenario.delivery, len(chunks)))
    closing = DONE
    if scenario.breaks_off is not None:
        del chunks[EVENTS_BEFORE_ERROR:]
        closing = json.dumps({"error": {"message": scenario.breaks_off.message, "type": scenario.breaks_off.kind}})
    payloads = [*(json.dumps(chunk, ensure_ascii=False) for chunk in chunks), closing]
    stream = scenario.spelling.pieces(payloads, len(payloads))
    return Answer(200, headers, stream=stream, total_events=len(payloads), delivery=scenario.delivery)


def embeddings_answer(digest: str, body: bytes) -> Answer:
    """Answer a request for embeddings with numbers that only depend on the text."""
    value = parse_object(body)
    model, content = parse_model(value, "mock-embedding"), value.get("input")
    texts = content if isinstance(content, list) and content and not isinstance(content[0], int) else [content]
    if None in texts or [] in texts:
        raise RejectedError(invalid("input must be a string, or a list of strings"))
    encode = _in_base64 if value.get("encoding_format") == "base64" else _as_list
    data: list[Json] = [
        {"object": "embedding", "index": index, "embedding": encode(_numbers(text))} for index, text in enumerate(texts)
    ]
    tokens = sum(len(text) if isinstance(text, list) else count_tokens(str(text)) for text in texts)
    usage: Json = {"prompt_tokens": tokens, "total_tokens": tokens}
    return replace(json_answer(digest, {"object": "list", "data": data, "model": model, "usage": usage}), model=model)


def _streaming(request: ChatRequest, scenario: Scenario) -> Streaming:
    return Streaming(scenario.cut, include_usage=request.include_usage)


def _as_text(completion: Completion, chunk: Fields) -> Fields:
    """Return a completion, or a chunk of one, with texts in place of messages."""
    rows = chunk["choices"]
    return {
        "id": completion.id.replace("chatcmpl-", "cmpl-"),
        "object": "text_completion",
        "created": completion.created,
        "model": completion.model,
        "choices": [_row(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else [],
        **({"usage": chunk["usage"]} if "usage" in chunk else {}),
    }


def _row(row: Fields) -> Fields:
    message = row.get("delta") or row.get("message")
    text = message.get("content", "") if isinstance(message, dict) else ""
    return {"index": row["index"], "text": text, "logprobs": None, "finish_reason": row["finish_reason"]} | (
        {"usage": row["usage"]} if "usage" in row else {}
    )


def _numbers(text: Json) -> list[float]:
    digest = hashlib.sha256(json.dumps(text).encode()).digest()
    return [byte / 128 - 1 for byte in digest[:DIMENSIONS]]


def _as_list(numbers: list[float]) -> Json:
    return list[Json](numbers)


def _in_base64(numbers: list[float]) -> Json:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
