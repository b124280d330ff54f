"""The endpoints of context caching: from a call to its answer."""

from collections.abc import Mapping
from dataclasses import replace

from moonpalace_cli.mock.answers import Answer, json_answer
from moonpalace_cli.mock.caching import Caches, owner_of
from moonpalace_cli.mock.chat_request import DEFAULT_MODEL, parse_object
from moonpalace_cli.mock.failures import Failure, RejectedError, not_found
from moonpalace_cli.mock.scenarios import Delivery, Scenario, Times

PATH = "/v1/caching"


class CacheEndpoints:
    """Answer the calls to `/v1/caching` and below; the model that a cache is for chooses what happens."""

    def __init__(self, caches: Caches, scenarios: Mapping[str, Scenario], times: Times) -> None:
        self._caches = caches
        self._scenarios = scenarios
        self._times = times

    @staticmethod
    def serves(path: str) -> bool:
        """Tell whether a path is one of these."""
        return path == PATH or path.startswith(f"{PATH}/")

    def answer(self, method: str, path: str, key: str, body: bytes, digest: str) -> Answer:
        """Answer a call, or raise `RejectedError`."""
        owner = owner_of(key)
        match method, path.removeprefix(PATH).split("/"):
            case "POST", [""]:
                return self._create(owner, body, digest)
            case "GET", [""]:
                return json_answer(digest, {"object": "list", "data": self._caches.all(owner)})
            case "GET", ["", cache_id]:
                return json_answer(digest, self._caches.describe(owner, cache_id))
            case "DELETE", ["", cache_id]:
                return json_answer(digest, self._caches.remove(owner, cache_id))
            case _:
                raise RejectedError(not_found(f"The requested resource was not found: {method} {path}"))

    def _create(self, owner: str, body: bytes, digest: str) -> Answer:
        scenario = self._scenario(body)
        creation = scenario.creation
        if isinstance(creation, Failure):
            raise RejectedError(creation)
        answer = json_answer(digest, self._caches.add(owner, body, scenario.caching))
        if creation == "slow":
            return replace(answer, delivery=Delivery(before_headers=self._times.headers))
        return replace(answer, delivery=Delivery("stall")) if creation == "stalled" else answer

    def _scenario(self, body: bytes) -> Scenario:
        model = parse_object(body).get("model")
        return self._scenarios.get(model if isinstance(model, str) else "", self._scenarios[DEFAULT_MODEL])
