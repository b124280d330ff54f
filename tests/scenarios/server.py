"""The mock with all scenarios for tests."""

import time
from collections.abc import Callable, Mapping
from typing import override

from moonpalace_cli.mock import api, server
from moonpalace_cli.mock.answers import Answer, failure_answer
from moonpalace_cli.mock.chat_request import parse_object
from moonpalace_cli.mock.failures import Failure, RejectedError, invalid
from moonpalace_cli.mock.scenarios import Scenario, Times
from moonpalace_cli.mock.served import Served
from tests.scenarios.all_scenarios import scenarios
from tests.scenarios.caches import OddCacheEndpoints, OddCaches
from tests.waiting import until


class Api(api.Api):
    """Answer calls as the mock does, including the scenarios for tests."""

    def __init__(self, times: Times, *, caching: bool = True, clock: Callable[[], float] = time.time) -> None:
        super().__init__(times, caching=caching, clock=clock)
        self._caches = caches = OddCaches(clock)
        self._cache_endpoints = OddCacheEndpoints(caches, times.headers) if caching else None

    @override
    def scenarios(self, events: int | None = None) -> Mapping[str, Scenario]:
        return scenarios(self.times, events)

    @override
    def answer(self, call: api.Call) -> Answer:
        try:
            failure = _failure(call)
        except RejectedError:
            failure = None  # the mock itself says what is wrong
        return super().answer(call) if failure is None else failure_answer("0" * 64, failure)


class MockServer(server.MockServer):
    """Serve the mock with all scenarios for tests."""

    api = Api

    def calls_of(self, request_id: str) -> list[Served]:
        """Return the calls with this X-Request-Id that have ended."""
        return [call for call in self.log if call.headers.get("X-Request-Id") == request_id]

    def call_of(self, request_id: str) -> Served:
        """Return the call with this X-Request-Id, once it has ended."""
        (call,) = until(lambda: self.calls_of(request_id))
        return call


def _failure(call: api.Call) -> Failure | None:
    """Return the failure of a call in a scenario that depends on more than the model's name."""
    if call.path != "/v1/chat/completions":
        return None
    body = parse_object(call.body)
    if body.get("model") == "mock-no-hints" and "prompt_cache_key" in body:
        return invalid("the parameter prompt_cache_key is unknown")
    if body.get("model") != "mock-echo-key":
        return None
    key = call.headers.get("Authorization", "").removeprefix("Bearer").strip()
    return Failure(401, "incorrect_api_key_error", f"Incorrect API key provided: {key}")
