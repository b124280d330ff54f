"""The errors of the Kimi API, in its format and with its types."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """An error answer; `retry_after` is in seconds, `html` replaces the JSON body."""

    status: int
    kind: str
    message: str
    retry_after: int | None = None
    html: str = ""


class RejectedError(Exception):
    """Raised with the failure of an invalid request."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def invalid(message: str) -> Failure:
    """Return the failure for an invalid request."""
    return Failure(400, "invalid_request_error", f"Invalid request: {message}")


def not_found(thing: str) -> Failure:
    """Return the failure for an unknown path, file or model."""
    return Failure(404, "resource_not_found_error", thing)


GATEWAY_PAGE = """<html>
<head><title>504 Gateway Time-out</title></head>
<body>
<center><h1>504 Gateway Time-out</h1></center>
<hr><center>nginx</center>
</body>
</html>
"""

BAD_REQUEST = invalid("temperature must be between 0 and 1")
FILTERED = Failure(400, "content_filter", "The request was rejected because it was considered high risk")
WRONG_KEY = Failure(401, "incorrect_api_key_error", "Incorrect API key provided")
FOREIGN_KEY = Failure(401, "invalid_authentication_error", "Invalid Authentication")
OVERLOADED = Failure(429, "engine_overloaded_error", "The engine is currently overloaded, please try again later", 1)
NO_QUOTA = Failure(
    429, "exceeded_current_quota_error", "Your account is suspended due to insufficient balance, please recharge it"
)
BROKEN = Failure(500, "server_error", "The server had an error while processing your request")
GATEWAY_TIMEOUT = Failure(504, "gateway_timeout", "The gateway gave up waiting", html=GATEWAY_PAGE)
