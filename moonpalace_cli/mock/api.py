"""The endpoints of the API: from a call to its answer, without a connection."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from moonpalace_cli.mock import failures
from moonpalace_cli.mock.answers import (
    FIRST_MOMENT,
    Answer,
    bytes_answer,
    chat_answer,
    failure_answer,
    json_answer,
)
from moonpalace_cli.mock.caching import CacheEndpoints, Caches, owner_of
from moonpalace_cli.mock.chat_request import (
    DEFAULT_MODEL,
    ChatRequest,
    Json,
    message_tokens,
    parse_chat,
    parse_messages,
    parse_object,
)
from moonpalace_cli.mock.failures import Failure, RejectedError, invalid, not_found
from moonpalace_cli.mock.files import Files, Upload
from moonpalace_cli.mock.messages_answers import message_answer, message_failure
from moonpalace_cli.mock.messages_request import parse_message_request
from moonpalace_cli.mock.prefix_caching import PrefixCaching
from moonpalace_cli.mock.responses_answers import response_answer
from moonpalace_cli.mock.responses_request import parse_response_request
from moonpalace_cli.mock.scenarios import Scenario, Times, scenarios
from moonpalace_cli.mock.text_endpoints import completion_answer, embeddings_answer, parse_completion_request

DELAY_HEADER = "X-Mock-Delay"
EVENTS_HEADER = "X-Mock-Events"
CACHE_HEADER = "X-Msh-Context-Cache"
RESET_HEADER = "X-Msh-Context-Cache-Reset-TTL"
MESSAGE_PATHS = ("/v1/messages", "/anthropic/v1/messages")
CONTEXT_CACHING = ("moonshot-v1", "mock-cache")  # models with this prefix have no automatic caching
WRONG_KEYS = "sk-wrong"  # how a key begins that the mock does not accept
MAX_DELAY = 3600.0  # seconds
MAX_EVENTS = 200_000


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the server read it; header names are case-insensitive."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    uploads: tuple[Upload, ...] = ()


class Api:
    """Answer calls like the Kimi API; the only state are uploaded files, context caches and prompts.

    Without `caching`, /v1/caching does not exist. `clock` returns seconds since 1970.
    """

    def __init__(self, times: Times, *, caching: bool = True, clock: Callable[[], float] = time.time) -> None:
        self.times = times
        self._scenarios = self.scenarios()
        self._files = Files()
        self._caches = Caches(clock)
        self._prefixes = PrefixCaching()
        self._routes: dict[tuple[str, str], Callable[[Call], Answer]] = {
            ("POST", "/v1/chat/completions"): self._chat,
            **{("POST", path): self._message for path in MESSAGE_PATHS},
            ("POST", "/v1/responses"): self._response,
            ("POST", "/v1/completions"): self._completion,
            ("POST", "/v1/embeddings"): lambda call: embeddings_answer(_digest(call), call.body),
            ("GET", "/v1/models"): self._models,
            ("POST", "/v1/tokenizers/estimate-token-count"): _estimate,
            ("GET", "/v1/users/me/balance"): _balance,
            ("GET", "/v1/files"): self._list_files,
            ("POST", "/v1/files"): self._upload,
        }
        self._cache_endpoints = CacheEndpoints(self._caches) if caching else None

    def answer(self, call: Call) -> Answer:
        """Return the answer to a call; any mistake in the call becomes an error answer."""
        try:
            _check_key(call)
            route = self._routes.get((call.method, call.path))
            if route is not None:
                return route(call)
            if self._cache_endpoints is not None and self._cache_endpoints.serves(call.path):
                return self._cache_endpoints.answer(call.method, call.path, _key(call), call.body, _digest(call))
            return self._one_file(call)
        except RejectedError as rejected:
            failed = message_failure if call.path in MESSAGE_PATHS else failure_answer
            return failed(_digest(call), rejected.failure)

    def accepts(self, call: Call) -> bool:
        """Return whether a call has a key that the mock accepts."""
        try:
            _check_key(call)
        except RejectedError:
            return False
        return True

    def scenarios(self, events: int | None = None) -> Mapping[str, Scenario]:
        """Return all scenarios by model name."""
        return scenarios(self.times, events)

    def _chat(self, call: Call) -> Answer:
        request = parse_chat(call.body)
        scenario = self._scenario(request.model, call)
        if scenario.failure is None:
            cache = self._cache(request, call)
            own = self._own_tokens(request, call)
            request = replace(request, cached_tokens=max(own, cache[1] if cache else 0))
        else:
            cache = None
        return replace(chat_answer(request, scenario, cache), model=request.model)

    def _message(self, call: Call) -> Answer:
        return self._answer(call, parse_message_request(call.body), message_answer)

    def _response(self, call: Call) -> Answer:
        return self._answer(call, parse_response_request(call.body), response_answer)

    def _completion(self, call: Call) -> Answer:
        return self._answer(call, parse_completion_request(call.body), completion_answer)

    def _answer(self, call: Call, request: ChatRequest, write: Callable[[ChatRequest, Scenario], Answer]) -> Answer:
        scenario = self._scenario(request.model, call)
        if scenario.failure is None:
            request = replace(request, cached_tokens=self._own_tokens(request, call))
        return replace(write(request, scenario), model=request.model)

    def _cache(self, request: ChatRequest, call: Call) -> tuple[str, int] | None:
        """Return the context cache that a call uses and the tokens that it saves."""
        cache_id = call.headers.get(CACHE_HEADER)
        if not cache_id:
            return None
        saved = self._caches.use(owner_of(_key(call)), cache_id, request, call.headers.get(RESET_HEADER))
        return None if saved is None else (cache_id, saved)

    def _own_tokens(self, request: ChatRequest, call: Call) -> int:
        """Return the tokens that the model has cached automatically."""
        if request.model.startswith(CONTEXT_CACHING):
            return 0
        return self._prefixes.cached_tokens(owner_of(_key(call)), request.model, request.messages, request.offered)

    def _scenario(self, model: str, call: Call) -> Scenario:
        events = _number(call, EVENTS_HEADER, MAX_EVENTS)
        available = self._scenarios if events is None else self.scenarios(max(1, int(events)))
        if model not in available and model.startswith("mock-"):
            raise RejectedError(not_found(f"Not found the model {model}: GET /v1/models lists what there is"))
        scenario = available.get(model, available[DEFAULT_MODEL])
        delay = _number(call, DELAY_HEADER, MAX_DELAY)
        return scenario if delay is None else replace(scenario, delivery=replace(scenario.delivery, pause=delay))

    def _models(self, call: Call) -> Answer:
        models: list[Json] = [
            {
                "id": name,
                "object": "model",
                "created": FIRST_MOMENT,
                "owned_by": "moonpalace",
                "description": scenario.summary,
            }
            for name, scenario in self._scenarios.items()
        ]
        return json_answer(_digest(call), {"object": "list", "data": models})

    def _list_files(self, call: Call) -> Answer:
        # Without has_more the openai SDK asks for the next page for ever.
        return json_answer(_digest(call), {"object": "list", "data": self._files.all(), "has_more": False})

    def _upload(self, call: Call) -> Answer:
        if not call.uploads:
            raise RejectedError(invalid("file is missing: send it as multipart/form-data"))
        return json_answer(_digest(call), self._files.add(call.uploads[0]))

    def _one_file(self, call: Call) -> Answer:
        match call.path.removeprefix("/v1/files/").split("/") if call.path.startswith("/v1/files/") else []:
            case [file_id] if call.method == "GET":
                return json_answer(_digest(call), self._files.describe(file_id))
            case [file_id, "content"] if call.method == "GET":
                return bytes_answer(_digest(call), self._files.content(file_id))
            case [file_id] if call.method == "DELETE":
                return json_answer(_digest(call), self._files.remove(file_id))
            case _:
                raise RejectedError(not_found(f"The requested resource was not found: {call.method} {call.path}"))


def _estimate(call: Call) -> Answer:
    total = sum(map(message_tokens, parse_messages(parse_object(call.body))))
    return json_answer(_digest(call), {"data": {"total_tokens": total}})


def _balance(call: Call) -> Answer:
    amounts: Json = {"available_balance": 49.5, "voucher_balance": 46.5, "cash_balance": 3.0}
    return json_answer(_digest(call), {"code": 0, "data": amounts, "scode": "0x0", "status": True})


def _key(call: Call) -> str:
    key = call.headers.get("Authorization", "").removeprefix("Bearer").strip()
    return key or call.headers.get("X-Api-Key", "").strip()


def _check_key(call: Call) -> None:
    key = _key(call)
    if not key or key.startswith(WRONG_KEYS):
        raise RejectedError(failures.WRONG_KEY)


def _number(call: Call, header: str, most: float) -> float | None:
    text = call.headers.get(header)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= most:
        raise RejectedError(Failure(400, "invalid_request_error", f"{header} must be a number from 0 to {most:g}"))
    return number


def _digest(call: Call) -> str:
    return hashlib.sha256(b" ".join((call.method.encode(), call.path.encode(), call.body))).hexdigest()
