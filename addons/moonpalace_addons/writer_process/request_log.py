"""Log each call when its row is stored."""

import json
import logging
from collections.abc import Sequence

from moonpalace_addons.settings.values import Settings
from moonpalace_addons.store.read.outcomes import Outcome, outcome
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.views.call_line import call_line, line_text
from moonpalace_addons.writer_process.log_lines import Line, lines

logger = logging.getLogger("moonpalace")

CALLS_PER_RECORD = 20
"""Maximum number of calls per log record."""


def call_lines(call: Exchange, settings: Settings, words: str, width: int | None) -> Sequence[Line]:
    """Return the lines for an ended call in the form of the setting `log`; `words` are the user's last words."""
    ended = outcome(call)
    if settings.log == "line":
        return [(line_text(call_line(call, words, width, ended=ended)), ended.style)]
    if settings.log == "json":
        return [(json.dumps(document(call, ended), ensure_ascii=False), "plain")]
    return lines(call, ended)


def document(call: Exchange, ended: Outcome) -> dict[str, object]:
    """Return a call as an entry of the JSON log; durations are in seconds."""
    return {
        "time": call.started_at.astimezone().isoformat(timespec="milliseconds"),
        "id": call.id,
        "method": call.method,
        "path": call.path,
        "endpoint": call.endpoint_name or call.endpoint,
        "model": call.model_answered or call.model_requested,
        "stream": call.is_stream,
        "status": call.status_code,
        "state": call.state.value,
        "outcome": ended.text,
        "finish_reason": call.finish_reason,
        "error_kind": call.error_kind,
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "cached_tokens": call.cached_tokens,
        "ttft": in_seconds(call.time_to_first_token),
        "latency": in_seconds(call.latency),
        "chatcmpl": call.chatcmpl_id,
        "request_id": call.msh_request_id,
        "warnings": list(call.warnings),
    }


def in_seconds(nanoseconds: int | None) -> float | None:
    """Return a duration in seconds, to the microsecond."""
    return None if nanoseconds is None else round(nanoseconds / 1e9, 6)


class CallLog:
    """Log the calls of a batch in one record, because each record wakes the proxy.

    Lines are formatted in the writer's process, so that this never delays clients or upstream. In the form `line` they
    are at most `width` columns wide.
    """

    def __init__(self, settings: Settings, width: int | None = None) -> None:
        self._settings = settings
        self._width = width
        self._lines: list[Line] = []
        self._calls = 0

    @property
    def wants_words(self) -> bool:
        """Return whether the lines contain the user's last words."""
        return self._settings.log == "line" and not self._settings.quiet

    def add(self, call: Exchange, words: str = "") -> None:
        """Add the lines of a call with the user's last words."""
        if self._settings.quiet:
            return
        self._lines += call_lines(call, self._settings, words, self._width)
        self._calls += 1
        if self._calls == CALLS_PER_RECORD:
            self.flush()

    def flush(self) -> None:
        """Log the added lines."""
        shown, self._lines, self._calls = self._lines, [], 0
        if shown:
            has_own_times = self._settings.log in ("line", "json")
            texts, styles = zip(*shown, strict=True)
            logger.info("\n".join(texts), extra={"styles": styles, "has_own_times": has_own_times})
