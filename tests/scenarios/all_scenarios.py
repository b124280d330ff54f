"""All scenarios for tests: those of `mpal mock`, and odd ones."""

from collections.abc import Mapping
from dataclasses import replace

from moonpalace_cli.mock.failures import Failure, not_found
from moonpalace_cli.mock.scenarios import REPEATED_EVENTS, Delivery, Scenario, Times, by_sentence
from moonpalace_cli.mock.scenarios import scenarios as served_scenarios
from moonpalace_cli.mock.scripts import every_tool
from tests.scenarios import edits, scripts
from tests.scenarios.caches import FAILED, IGNORED, LOST, NOT_MADE, PENDING, REFUSED
from tests.scenarios.spelling import Encoding, OddSpelling

BIG_SIZE = 1 << 20  # bytes
CACHE_MODELS = (PENDING, FAILED, LOST[0], REFUSED, IGNORED, "mock-cache-slow", "mock-cache-stall", *map(str, NOT_MADE))
PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in to this network.</body></html>\n"
RATE_LIMITED = Failure(
    429,
    "rate_limit_reached_error",
    "Your account reached max request per minute: 3, please try again after 2 seconds",
    2,
)


def scenarios(times: Times, events: int | None = None) -> Mapping[str, Scenario]:
    """Return all scenarios by model name; `events` replaces the number of events of those that repeat or count."""
    cached = {name: Scenario(f"{name}: tests/scenarios/caches.py") for name in CACHE_MODELS}
    return {**served_scenarios(times, events), **_talking(times, events), **_spelled(times), **_failing(), **cached}


def _talking(times: Times, events: int | None) -> dict[str, Scenario]:
    looping = Delivery(pause=times.loop)
    loops = events or REPEATED_EVENTS
    return {
        "mock-tools-noindex": Scenario(
            "calls every tool offered; the deltas lack index and finish the first call after the next has begun",
            every_tool,
            edit_chunks=edits.calls_without_index,
        ),
        "mock-two-choices": Scenario("gives two answers, interleaved", scripts.two_choices),
        "mock-repeat-reasoning": Scenario(
            "thinks the same sentence 300 times", scripts.repeated_reasoning(loops), by_sentence, delivery=looping
        ),
        "mock-repeat-tools": Scenario(
            "writes the same sentence 300 times into the arguments of a tool call",
            scripts.repeated_arguments(loops),
            by_sentence,
            delivery=looping,
        ),
        "mock-big": Scenario("says 1 MB in one event", scripts.large(BIG_SIZE), scripts.whole),
        "mock-emoji-cjk": Scenario("answers in Chinese with emoji", scripts.chinese),
        "mock-logprobs": Scenario(
            "echoes with logprobs", edit_chunks=edits.logprobs, edit_answer=edits.answer_with_logprobs
        ),
        "mock-refusal": Scenario(
            "refuses: content is null, refusal has the text",
            scripts.refusal,
            edit_chunks=edits.refused,
            edit_answer=edits.refused_answer,
        ),
        "mock-no-usage": Scenario(
            "echoes without usage anywhere", edit_chunks=edits.without_usage, edit_answer=edits.answer_without_usage
        ),
        "mock-usage-both": Scenario(
            "echoes; the last chunk has usage in its choice and at top level", edit_chunks=edits.usage_twice
        ),
        "mock-empty-choices": Scenario(
            "echoes; two chunks have an empty list of choices", edit_chunks=edits.empty_choices
        ),
    }


def _spelled(times: Times) -> dict[str, Scenario]:
    return {
        "mock-until-close": Scenario(
            "ends the body by closing the connection, without a length or chunks", delivery=Delivery(until_close=True)
        ),
        "mock-split": Scenario(
            "cuts the stream inside code points and lines",
            scripts.chinese,
            spelling=OddSpelling(split=True),
            delivery=Delivery(pause=times.split),
        ),
        "mock-gzip": _encoded("gzip"),
        "mock-deflate": _encoded("deflate"),
        "mock-br": _encoded("br"),
        "mock-zstd": _encoded("zstd"),
        "mock-comments": Scenario("puts comments, event:, id: and retry: in", spelling=OddSpelling(asides="fields")),
        "mock-heartbeat": Scenario("puts `: hb` between the events", spelling=OddSpelling(asides="beats")),
        "mock-crlf": Scenario("ends the lines of the stream with CR LF", spelling=OddSpelling(line_end="\r\n")),
        "mock-cr": Scenario("ends the lines of the stream with CR", spelling=OddSpelling(line_end="\r")),
        "mock-nospace": Scenario("writes data: without a space", spelling=OddSpelling(space=False)),
        "mock-unterminated": Scenario(
            "leaves out [DONE] and the end of the last event", spelling=OddSpelling(terminated=False)
        ),
        "mock-cookie": Scenario(
            "echoes and sets a cookie", headers=(("Set-Cookie", "mock_session=5e55104c00c1e; Path=/; HttpOnly"),)
        ),
    }


def _encoded(encoding: Encoding) -> Scenario:
    summary = f"echoes with Content-Encoding {encoding}, asked or not"
    return Scenario(summary, spelling=OddSpelling(encoding=encoding), headers=(("Content-Encoding", encoding),))


def _failing() -> dict[str, Scenario]:
    def failing(failure: Failure) -> Scenario:
        return Scenario(f"answers {failure.status} {failure.kind}", failure=failure)

    page = Failure(200, "sign_in", "", html=PAGE)
    return {
        "mock-html": replace(failing(page), summary="answers 200 with a page of HTML"),
        "mock-403": failing(Failure(403, "permission_denied_error", "The API you are accessing is not open")),
        "mock-404": failing(not_found("Not found the model or Permission denied")),
        "mock-429-rate": failing(RATE_LIMITED),
        "mock-503": failing(Failure(503, "server_unavailable", "The server is temporarily unavailable")),
        "mock-echo-key": Scenario("answers 401 and repeats the API key"),
        "mock-no-hints": Scenario("echoes; refuses prompt_cache_key with 400"),
    }
