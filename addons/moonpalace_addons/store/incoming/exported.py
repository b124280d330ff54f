"""Convert calls that `mpal export` wrote to calls of a store: the values recorded, and what follows from the bodies."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import msgspec

from moonpalace_addons.store.field import MILLISECOND, Field
from moonpalace_addons.store.fields import STORED
from moonpalace_addons.store.incoming import carried
from moonpalace_addons.store.incoming.document_files import Document, Message, documents, refuse
from moonpalace_addons.store.incoming.legacy_calls import masked, microseconds, stripped
from moonpalace_addons.store.incoming.transfer import Transferred
from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.store.records.values import MAX_INT64, Values
from moonpalace_addons.store.state import State
from moonpalace_addons.store.tasks import ExchangeEnded
from moonpalace_addons.store.write import derive
from moonpalace_addons.store.write.answers import Received
from moonpalace_addons.store.write.storable import storable
from moonpalace_addons.wire.chat import stream_texts
from moonpalace_addons.wire.chat.event_data import event_ends
from moonpalace_addons.wire.chat.timing import chunks_of
from moonpalace_addons.wire.secrets import masking

TAG = "imported"
"""The tag of these calls."""
NAMESPACE = UUID("6f6c6420-6d6f-5f6e-8061-6c6163650002")
RUN: Values = {
    "id": str(uuid5(NAMESPACE, "exports")),
    "host": "",
    "pid": 0,
    "version": "imported",
    "started_at": 0,
    "heartbeat_at": 0,
    "ended_at": 0,
}
"""The run of all calls from exports, which do not name their proxy."""
OWN = ("id", "status_code", "state")
"""Fields that the store assigns, or that are read elsewhere."""
RECORDED = [
    field
    for field in STORED
    if field.metadata and field.kind in ("text", "whole", "decimal") and field.source not in OWN
]
"""The fields in the metadata; if one has several names there, the last one is read."""
CATEGORIES = ("goodcase", "badcase")
MAX_LABEL = 200
_STATUS = re.compile(r"([1-9][0-9]{2})(?: |$)")
_ERROR = re.compile(r"([a-z_0-9]{1,80}): (.*)", re.DOTALL)


class DocumentSource:
    """A file of exported calls, all of which have been read and checked."""

    def __init__(self, file: Path) -> None:
        self._calls = list(calls(file, documents(file)))

    def count(self) -> int:
        """Return the number of calls."""
        return len(self._calls)

    def keys(self) -> Iterator[tuple[int, str]]:
        """Yield number and uuid of every call."""
        return ((number, call.uuid) for number, call in enumerate(self._calls))

    def load(self, row_id: int) -> Transferred:
        """Return a call with its bodies."""
        return self._calls[row_id]


def calls(file: Path, found: list[Document]) -> Iterator[Transferred]:
    """Yield the calls without repetitions; raise StoreError for one that is not valid."""
    seen = set[str]()
    for number, document in enumerate(found, 1):
        call = to_call(f"{file}, call {number}", document)
        if call.uuid not in seen:
            seen.add(call.uuid)
            yield call


def to_call(name: str, document: Document) -> Transferred:
    """Return the call of a document."""
    metadata, request, response = document.metadata, document.request, document.response
    extra = carried_columns(name, document)
    try:
        state = State(metadata.get("state", "completed"))
    except ValueError:
        refuse(name, "metadata.state is not a state of a call")
    check_labels(name, document)
    hidden = masking.credentials([*header_pairs(request.header), *header_pairs(response.header)])
    headers, request_body = stripped(request.header, hidden) or "", masked(body_of(name, request), hidden)
    stream, response_body = stream_of(name, response), body_of(name, response)
    answer = masked(stream if stream is not None else response_body, hidden)
    fields = derive.request_fields(request_body or b"")
    status = _STATUS.match(response.status)
    code = int(status[1]) if status else None
    received = None
    if status or answer:
        content_type, answered = metadata.get("response_content_type"), stripped(response.header, hidden)
        chunks = arrivals(name, response.event_times, answer) if stream is not None and answer else []
        headers_at = whole_or_none(extra.get("time_to_headers"))
        received = Received(headers_at, code, answered, content_type, answer or b"", chunks)
    call = Transferred(
        identity(document, extra.get("started_at"), request_body, answer), {}, request_body=request_body, run=RUN
    )
    call.tags = tuple(dict.fromkeys((*map(masking.mask_formed, document.tags), TAG)))
    endpoint, path, query = place(name, metadata, request)
    recorded = recorded_columns(name, metadata) | {"status_code": code}
    ended = ExchangeEnded("", whole_or_none(extra.get("latency", recorded["latency"])) or 0, state)
    derive.finish(call, ended, received, fields, path=path, hidden=hidden)
    columns = (
        derive.EMPTY
        | derive.asked_columns(request.header, fields)
        | {
            "method": "POST" if request_body else "GET",
            "path": masking.mask_path(path),
            "query": masking.mask_query(query),
            "request_headers": headers,
            "request_bytes": len(request_body or b""),
            "client_request_id": derive.named_headers(headers).get("x-request-id"),
            "is_coerced": False,
            "started_at": microseconds(metadata.get("requested_at")),
        }
        | call.columns
        | recorded
        | ending(document, state, call.columns)
        | answering_model(metadata, fields, call.columns)
        | {"overhead": None}
        | extra
        | {"endpoint": endpoint, "category": document.category}
        | {"note": None if document.note is None else masking.mask_formed(document.note)}
        | {"uuid": call.uuid, "run_id": RUN["id"]}
    )
    started_at = columns["started_at"]
    if not isinstance(started_at, int) or not 0 <= started_at <= MAX_INT64 // 1000:  # which spans have in nanoseconds
        refuse(name, "metadata.requested_at is not a time")
    call.columns = storable(columns, hidden)
    if stream is not None:
        merged = masked(response_body, hidden)
        call.response_body = merged if merged and merged != b"null" else call.response_body
        call.texts = stream_texts.of_answer(call.stream, call.response_body, hidden)
    return call


def carried_columns(name: str, document: Document) -> Values:
    """Return the columns that the document has besides its metadata."""
    try:
        return carried.columns(document.exchange)
    except ValueError as error:
        refuse(name, str(error))


def arrivals(name: str, times: Sequence[int] | None, stream: bytes) -> list[tuple[int, int]]:
    """Return offset and time of the chunks of a stream whose events arrived at these times; none without times."""
    if not times:
        return []
    ends = event_ends(stream)
    if len(times) != len(ends):
        refuse(name, f"response.event_times has {len(times)} times for {len(ends)} events")
    if times[0] < 0 or times[-1] > MAX_INT64 or any(later < at for at, later in pairwise(times)):
        refuse(name, "response.event_times are not times in ascending order")
    return chunks_of(ends, times)


def whole_or_none(value: object) -> int | None:
    """Return a whole number, None for anything else."""
    return value if isinstance(value, int) else None


def recorded_columns(name: str, metadata: Mapping[str, str]) -> Values:
    """Return the columns in the metadata; a field that they lack is None, even if the bodies would give it."""
    return {field.source: recorded(name, field, metadata.get(field.metadata_names[-1])) for field in RECORDED}


def recorded(name: str, field: Field, text: str | None) -> object:
    """Return the value of a field in the metadata, where durations are in milliseconds."""
    if text is None or field.kind == "text":
        return text
    key = field.metadata_names[-1]
    if field.kind == "decimal":
        return amount(name, key, text)
    return whole(name, key, text, MILLISECOND if field.unit else 1)


def answering_model(metadata: Mapping[str, str], fields: derive.Fields, derived: Values) -> Values:
    """Return the model that answered if only the metadata name it: they have the requested one if none answered."""
    model = metadata.get("model")
    return {} if model in (None, derived.get("model_answered"), fields.get("model")) else {"model_answered": model}


def ending(document: Document, state: State, derived: Values) -> Values:
    """Return how the call ended, as the document says."""
    found: Values = {"state": State.PROXY_DIED if state is State.IN_FLIGHT else state}
    if warnings := document.metadata.get("warnings"):
        found["warnings"] = derive.packed([warnings])
    if document.error and not derived.get("error_message"):
        named = _ERROR.fullmatch(document.error)
        kind, message = named.groups() if named else (None, document.error)
        found |= {"error_kind": kind, "error_message": message}
    return found


def whole(name: str, key: str, text: str, unit: int) -> int:
    """Return a whole number of a unit."""
    number = int(text) * unit if re.fullmatch(r"[0-9]{1,19}", text) else -1
    if not 0 <= number <= MAX_INT64:
        refuse(name, f"metadata.{key} is not a whole number that a call can have")
    return number


def amount(name: str, key: str, text: str) -> float:
    """Return a number."""
    if not re.fullmatch(r"[0-9]{1,40}(\.[0-9]{1,20})?", text):
        refuse(name, f"metadata.{key} is not a number that a call can have")
    return float(text)


def check_labels(name: str, document: Document) -> None:
    """Refuse an unknown category, and tags that a list cannot show."""
    if document.category not in (None, *CATEGORIES):
        refuse(name, f"category must be {' or '.join(CATEGORIES)}")
    if not all(0 < len(tag) <= MAX_LABEL and tag.isprintable() for tag in document.tags):
        refuse(name, "a tag is empty, too long or not printable")


def place(name: str, metadata: Mapping[str, str], request: Message) -> tuple[str, str, str]:
    """Return endpoint, path and query of a URL."""
    endpoint = metadata.get("endpoint", "")
    try:
        _ = urlsplit(endpoint).port
    except ValueError:
        refuse(name, "metadata.endpoint is not a URL")
    rest = request.url.removeprefix(endpoint) if endpoint and request.url.startswith(endpoint) else request.url
    path, _, query = rest.partition("?")
    return endpoint, path, query


def body_of(name: str, message: Message) -> bytes | None:
    """Return a body: JSON without the indentation of the export, or the text or the bytes that it was."""
    if message.body_base64 is not None:
        return unpacked(name, message.body_base64)
    raw = bytes(message.body)
    if raw in (b"", b'""', b"null"):
        return None
    try:
        if raw.startswith(b'"'):
            return msgspec.json.decode(raw, type=str).encode("utf-8", "replace")
        return msgspec.json.format(raw, indent=-1)
    except RecursionError:
        refuse(name, "a body is nested too deeply")


def stream_of(name: str, message: Message) -> bytes | None:
    """Return the events of an answer, None if it was no stream."""
    if message.event_stream_base64 is not None:
        return unpacked(name, message.event_stream_base64)
    return None if message.event_stream is None else message.event_stream.encode("utf-8", "replace")


def unpacked(name: str, text: str) -> bytes:
    """Return bytes in base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        refuse(name, "a body is not base64")


def identity(document: Document, started_at: object, request_body: bytes | None, response_body: bytes | None) -> str:
    """Return a uuid that is the same for a call however often it is exported.

    `started_at`, in microseconds, tells calls of the same second apart, such as tries that were refused alike.
    """
    metadata = document.metadata
    digest = hashlib.sha256()
    texts = [*(metadata.get(key, "") for key in ("requested_at", "chatcmpl", "latency")), document.request.url]
    texts += [] if started_at is None else [str(started_at)]
    for part in (*(text.encode("utf-8", "replace") for text in texts), request_body or b"", response_body or b""):
        digest.update(b"%d:" % len(part) + part)
    return str(uuid5(NAMESPACE, digest.hexdigest()))
