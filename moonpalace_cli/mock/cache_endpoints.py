"""The endpoints of context caching: from a call to its answer."""

from moonpalace_cli.mock.answers import Answer, json_answer
from moonpalace_cli.mock.caching import Caches, description, owner_of
from moonpalace_cli.mock.failures import RejectedError, not_found

PATH = "/v1/caching"


class CacheEndpoints:
    """Answer the calls to `/v1/caching` and below."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches

    @staticmethod
    def serves(path: str) -> bool:
        """Return whether a path is one of these."""
        return path == PATH or path.startswith(f"{PATH}/")

    def answer(self, method: str, path: str, key: str, body: bytes, digest: str) -> Answer:
        """Answer a call, or raise `RejectedError`."""
        owner = owner_of(key)
        match method, path.removeprefix(PATH).split("/"):
            case "POST", [""]:
                return self.create(owner, body, digest)
            case "GET", [""]:
                return json_answer(digest, {"object": "list", "data": self._caches.all(owner)})
            case "GET", ["", cache_id]:
                return self.show(owner, cache_id, digest)
            case "DELETE", ["", cache_id]:
                return json_answer(digest, self._caches.remove(owner, cache_id))
            case _:
                raise RejectedError(not_found(f"The requested resource was not found: {method} {path}"))

    def create(self, owner: str, body: bytes, digest: str) -> Answer:
        """Answer the request to make a cache, or raise `RejectedError`."""
        return json_answer(digest, description(self._caches.add(owner, body)))

    def show(self, owner: str, cache_id: str, digest: str) -> Answer:
        """Answer with the description of a cache, or raise `RejectedError`."""
        return json_answer(digest, description(self._caches.find(owner, cache_id)))
