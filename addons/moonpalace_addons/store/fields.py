"""The catalogue of fields of a call, each defined once.

Whatever shows, sorts, searches, explains, redacts, exports or imports fields is derived from it: the columns of
`mpal list`, predicates, the metadata of `inspect` and `export`, `mpal help columns`, shell completion and statistics. A
stored field is an attribute of `Exchange` in `exchange.py`; the entry of one that is computed from these is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import UnionType
from typing import get_args

from moonpalace_addons.store.exchange import STORED as DESCRIBED
from moonpalace_addons.store.exchange import Exchange as Exchange  # also imported from here
from moonpalace_addons.store.field import MILLISECOND, NANOSECOND, Field, Kind
from moonpalace_addons.store.state import State


def model(call: Exchange) -> str | None:
    """Return the model that answered, else the one asked for."""
    return call.model_requested if call.model_answered is None else call.model_answered


def url(call: Exchange) -> str:
    """Return the address that was called upstream, query included."""
    query = f"?{call.query}" if call.query else ""
    return call.endpoint.rstrip("/") + call.path + query


def error_text(call: Exchange) -> str:
    """Return why the call failed: kind and message, at least the state; empty for one that did not fail."""
    named = ": ".join(part for part in (call.error_kind, call.error_message) if part)
    return named or ("" if call.state in (State.COMPLETED, State.IN_FLIGHT) else call.state.value)


def cost_saved(call: Exchange) -> float | None:
    """Return how much more the cached tokens would have cost without the cache."""
    if call.cached_tokens is None or call.price_input is None or call.price_cached is None:
        return None
    cached = call.cached_tokens if call.prompt_tokens is None else min(call.cached_tokens, call.prompt_tokens)
    return cached * (call.price_input - call.price_cached) / 1_000_000


URL = """rtrim(exchanges.endpoint, '/') || exchanges.path
    || CASE WHEN exchanges.query <> '' THEN '?' || exchanges.query ELSE '' END"""
MODEL = "coalesce(exchanges.model_answered, exchanges.model_requested)"
ERROR = """coalesce(
    nullif(exchanges.error_kind, '') || ': ' || nullif(exchanges.error_message, ''),
    nullif(exchanges.error_kind, ''), nullif(exchanges.error_message, ''),
    CASE WHEN exchanges.state NOT IN ('completed', 'in_flight') THEN exchanges.state END)"""
COST_SAVED = """(CASE WHEN exchanges.cached_tokens > exchanges.prompt_tokens THEN exchanges.prompt_tokens
    ELSE exchanges.cached_tokens END) * (exchanges.price_input - exchanges.price_cached) / 1000000"""
FIRST_TAG = "SELECT min(tag) FROM exchange_tags WHERE exchange_id = exchanges.id"

OTHERS: Sequence[Field] = (
    Field(
        "full URL: endpoint, path and query",
        "完整地址：endpoint、路径和查询串",
        name="url",
        after="method",
        sql=URL,
        value=url,
        width=43,
    ),
    Field(
        "model that answered, or else the requested one",
        "回答的模型；没有回答时为请求的模型",
        name="model",
        after="query",
        sql=MODEL,
        value=model,
        width=18,
        metadata=True,
    ),
    Field("request body", "请求正文", name="request_body", after="request_header", kind="json"),
    Field(
        "status code only",
        "状态码",
        name="status_code",
        after="status",
        kind="whole",
        also="response_status_code request_status_code",
    ),
    Field(
        "why the call failed: kind and message, or at least the state",
        "失败的原因：种类和信息，至少有状态",
        name="error",
        after="state",
        sql=ERROR,
        value=lambda call: error_text(call) or None,
        fit="cut",
        width=40,
    ),
    Field(
        "response body; for a stream, the merged completion",
        "响应正文；流式则为合并后的结果",
        name="response_body",
        after="response_header",
        kind="json",
    ),
    Field(
        "words in either body: text ~ 'words'; only in predicates",
        "请求和响应正文中的词：text ~ '词'；只能用在表达式里",
        name="text",
        after="response_header",
        kind="words",
    ),
    Field(
        "what the cached tokens would have cost more",
        "缓存省下的费用",
        name="cost_saved",
        after="cost_currency",
        kind="decimal",
        sql=COST_SAVED,
        value=cost_saved,
    ),
    Field(
        "same as ttft",
        "同 ttft",
        name="time_to_first_token",
        after="ttft",
        kind="whole",
        unit=NANOSECOND,
        least=MILLISECOND,
    ),
    Field("same as tpot", "同 tpot", name="time_per_output_token", after="tpot", kind="whole", unit=NANOSECOND),
    Field(
        "tags set by mpal label or export --tag",
        "mpal label 或 export --tag 加的标签",
        name="tags",
        after="category",
        kind="set",
        sql=FIRST_TAG,
        width=16,
    ),
)
"""The fields that are no attribute: computed ones, bodies, tags, and durations in another unit."""

KINDS: Mapping[object, Kind] = {
    int: "whole",
    float: "decimal",
    bool: "truth",
    datetime: "moment",
    tuple[str, ...]: "set",
}
"""What types of attributes hold; others hold texts."""


def stored_fields() -> Iterator[Field]:
    """Yield the field of each attribute."""
    for name, hint in Exchange.__annotations__.items():
        held = get_args(hint)[0] if isinstance(hint, UnionType) else hint
        facts = {"name": name, "kind": KINDS.get(held, "text")} | DESCRIBED[name]
        yield Field(column=name, **facts)


STORED: Sequence[Field] = tuple(stored_fields())
"""The fields that are attributes, in their order."""

CATALOGUE: Sequence[Field] = tuple(
    field for stored in STORED for field in (stored, *(other for other in OTHERS if other.after == stored.name))
)


def sections() -> Mapping[str, Sequence[Field]]:
    """Return the fields by the sections of `mpal help columns`."""
    found: dict[str, list[Field]] = {}
    title = ""
    for field in CATALOGUE:
        title = field.section or title
        found.setdefault(title, []).append(field)
    return found


SECTIONS = sections()


def by_name(fields: Sequence[Field]) -> dict[str, Field]:
    """Return the fields under all of their names; the name of a column is that of the first field that shows it."""
    named = {field.name: field for field in fields}
    for field in fields:
        for other in (*field.also.split(), field.source):
            named.setdefault(other, field)
    return named


FIELDS: Mapping[str, Field] = by_name(CATALOGUE)
"""Each field under its name and its other names."""


def find(name: str) -> Field | None:
    """Return the field of a name as predicates have it: in capitals too."""
    return FIELDS.get(name) or FIELDS.get(name.lower())


def names_of(field: Field) -> list[str]:
    """Return all names of a field, the one that it is explained under first."""
    return [name for name, named in FIELDS.items() if named is field]
