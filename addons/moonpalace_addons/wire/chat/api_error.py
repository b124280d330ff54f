"""Detect that a response, or an event of a stream, reports an error: the only module that knows the formats.

    {"error": {…}}, {"error": "…"}                      OpenAI, Anthropic (with "type": "error"), Ollama, TGI
    [{"error": {…}}]                                    Gemini
    {"type": "error", "code": …, "message": …}          an event of /v1/responses, as is
    {"type": "response.failed", "response": {"error": …}}
    {"object": "error", "message": …, "code": …}        vLLM
    {"base_resp": {"status_code": …, "status_msg": …}}  MiniMax, in every answer: 0 is success
    {"success": false, "errors": [{…}]}                 Cloudflare, or with "error"
    {"choices": [{"error": …}]}                         OpenRouter; or a finish reason: "error", GLM "network_error"
    {"code": …, "msg": …}, with "message" or "error_…"  gateways, in every answer: 0, 200, "ok" … are success
    {"detail": …}                                       FastAPI, RFC 9457

The last two are ambiguous: they count only without any part of an answer beside them. An event named "error" is an
error whatever its data, as is any response whose status says so; then only the kind and the message are read.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from moonpalace_addons.wire.json_value import mapping
from moonpalace_addons.wire.sse import Event

_KIND_KEYS = ("type", "error_type", "code", "error_code", "status", "status_code", "error")
_MESSAGE_KEYS = ("message", "msg", "error_description", "error_msg", "status_msg", "error_message", "detail")
_SUCCESS_KEYS = ("choices", "data", "content", "output", "result")
"""Members of a successful answer: a code beside them is not an error's."""
_DETAIL_KEYS = {"detail", "status", "status_code", "code", "type", "title", "instance", "message", "request_id"}
_NAME = re.compile(r"[\w.-]{1,80}")
_SUCCESS = re.compile(r"(ok|success\w*|succeeded|normal|true|(操作|请求|调用)?成功)\W*", re.IGNORECASE)
_ERROR_KEYS = frozenset({"error", "errors", "base_resp", "code", "error_code", "detail"})
_ERROR_TYPES = ("error", "response.failed")
"""Every error has one of these members or types, except one inside a choice and one with "object": "error"."""
ERROR_REASONS = ("error", "network_error")
"""Finish reasons of a choice that failed."""

# Error kinds documented by the API and similar ones, for errors that name no status.
_STATUSES = {
    "invalid_request_error": 400,
    "content_filter": 400,
    "invalid_authentication_error": 401,
    "incorrect_api_key_error": 401,
    "authentication_error": 401,
    "permission_denied_error": 403,
    "permission_error": 403,
    "resource_not_found_error": 404,
    "not_found_error": 404,
    "engine_overloaded_error": 429,
    "exceeded_current_quota_error": 429,
    "rate_limit_reached_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "server_error": 500,
    "api_error": 500,
    "server_unavailable": 503,
    "overloaded_error": 529,
}


@dataclass(frozen=True, slots=True)
class ApiError:
    """The error in a response; `kind` and `message` are None if the response does not give them.

    `member` is the `error` member that a response of the API in its own format would have. `ends` tells whether SDKs
    stop reading a stream there: an error inside a choice ends that choice only.
    """

    kind: str | None
    message: str | None
    status: int | None
    member: object
    ends: bool = True

    def __str__(self) -> str:
        """Return one line for people."""
        return ": ".join(filter(None, (self.kind, self.message))) or "error"


def find(value: object, *, failed: bool = False) -> ApiError | None:
    """Return the error in `value`, the parsed JSON of a response or of an event's data; None if there is none.

    `failed` means that there certainly is one, for example because of the status.
    """
    fields = mapping(value[0] if isinstance(value, list) and len(value) == 1 else value)
    is_typed = fields.get("object") == "error" or fields.get("type") in _ERROR_TYPES
    if not failed and not is_typed and fields.keys().isdisjoint(_ERROR_KEYS):
        return _choice_error(fields)  # nearly all events of a stream
    listed = fields.get("error") or fields.get("errors")
    if isinstance(listed, list) and listed and (failed or fields.get("success") is False):
        fields = {**fields, "error": listed[0]}
    if fields.get("type") == "response.failed":
        response = mapping(fields.get("response"))
        fields, failed = response if response.get("error") else {**response, "error": fields.get("error")}, True
    return (
        _explicit_error(fields)
        or _choice_error(fields)
        or (_bare_error(fields) if failed or _is_bare_error(fields) else None)
    )


def find_in_event(event: Event, value: object) -> ApiError | None:
    """Return the error that an event reports, None for any other event; `value` is its parsed data."""
    named = event.event == "error"
    found = find(value, failed=named)
    if found is None and named:
        found = _make_error(None, _text(value) or event.data.strip() or None, None)
    return found


def _explicit_error(fields: Mapping[str, object]) -> ApiError | None:
    error = fields.get("error")
    if isinstance(error, dict):
        return (
            _make_error(*_kind_and_message(error), _status(error) or _status(fields), error)
            if any(error.values())
            else None
        )
    if isinstance(error, str) and error:
        kind, message = _kind_and_message({**fields, "error": ""})
        return _make_error(error if message else kind, message or error, _status(fields))
    base = mapping(fields.get("base_resp"))
    if base and not _is_success(base.get("status_code")):
        return _make_error(*_kind_and_message(base), _status(base))
    if error is True or fields.get("type") == "error" or fields.get("object") == "error":
        return _bare_error({name: value for name, value in fields.items() if name != "error"}) or _make_error(
            None, None, None
        )
    return None


def _choice_error(fields: Mapping[str, object]) -> ApiError | None:
    choices = fields.get("choices")
    for choice in map(mapping, choices if isinstance(choices, list) else ()):
        error = choice.get("error")
        reason = choice.get("finish_reason")
        if reason in ERROR_REASONS or (error and isinstance(error, dict | str)):
            found = _explicit_error({"error": error}) or _make_error(_text(reason) or "error", None, None)
            return ApiError(found.kind, found.message, found.status, found.member, ends=False)
    return None


def _is_bare_error(fields: Mapping[str, object]) -> bool:
    """Tell whether an object without an explicit error is one because it has a code or detail, and no answer."""
    if not fields or fields.get("success") is True or any(fields.get(name) for name in _SUCCESS_KEYS):
        return False
    detail, message = fields.get("detail"), _message(fields)
    if _SUCCESS.fullmatch(message or ""):
        return False
    codes = [fields[name] for name in ("code", "error_code") if fields.get(name) is not None]
    if codes:
        return message is not None and not any(map(_is_success, codes))
    return bool(detail) and isinstance(detail, str | list | dict) and fields.keys() <= _DETAIL_KEYS


def _bare_error(fields: Mapping[str, object]) -> ApiError | None:
    kind, message = _kind_and_message(fields)
    if isinstance(fields.get("detail"), dict) and message is None:
        return find(fields["detail"], failed=True)
    return None if kind is None and message is None else _make_error(kind, message, _status(fields))


def _kind_and_message(fields: Mapping[str, object]) -> tuple[str | None, str | None]:
    """Return kind and message; the kind is the first member that is a word, else a number."""
    values = [fields.get(name) for name in _KIND_KEYS]
    words = (value for value in values if isinstance(value, str) and value and value != "error")
    numbers = (str(value) for value in values if isinstance(value, int) and not isinstance(value, bool))
    return next(words, None) or next(numbers, None), _message(fields)


def _message(fields: Mapping[str, object]) -> str | None:
    values = (fields.get(name) for name in _MESSAGE_KEYS)
    return next((text for value in values if not isinstance(value, dict) and (text := _text(value))), None)


def _text(value: object) -> str:
    """Return a message as text, and FastAPI's list of validation errors as a sentence."""
    if isinstance(value, list):
        return "; ".join(filter(None, map(_text, value)))
    if not isinstance(value, dict):
        return value if isinstance(value, str) else ""
    place = value.get("loc")
    words = [".".join(map(str, place))] if isinstance(place, list) else []
    message = next((text for name in _MESSAGE_KEYS if isinstance(text := value.get(name), str) and text), None)
    return ": ".join([*words, message or json.dumps(value, ensure_ascii=False)])


def _is_success(code: object) -> bool:
    """Tell whether a code means success, or is not a code at all."""
    text = str(code)
    if not isinstance(code, int | str) or not _NAME.fullmatch(text):
        return True
    digits = text.lstrip("0")
    return digits == "" or _SUCCESS.fullmatch(text) is not None or (len(digits) == 3 and digits[0] == "2")


def _status(fields: Mapping[str, object]) -> int | None:
    """Return the HTTP status that an error names, else the one of its kind."""
    for name in ("code", "status", "status_code"):
        code = str(fields.get(name))
        if re.fullmatch("[45][0-9]{2}", code, re.ASCII):
            return int(code)
    return next(
        (_STATUSES[kind] for name in _KIND_KEYS if isinstance(kind := fields.get(name), str) and kind in _STATUSES),
        None,
    )


def _make_error(kind: str | None, message: str | None, status: int | None, member: object = None) -> ApiError:
    made = {name: value for name, value in (("type", kind or "error"), ("message", message)) if value is not None}
    return ApiError(kind, message, status, made if member is None else member)
