"""The tabs of a call's page: values for their templates, and documents for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from moonpalace_addons.store.fields import cost_saved, url
from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.views import timeline
from moonpalace_addons.views.money import price
from moonpalace_addons.wire.json_text import Json, Verbatim, dumps
from moonpalace_addons.wire.status import status_line
from moonpalace_cli.calls.content import Content, answer, members, read, readable
from moonpalace_cli.calls.documents import inspect_document
from moonpalace_cli.views.context_caches import prefix_report
from moonpalace_cli.views.context_caches.misses import Prompts
from moonpalace_cli.views.deliveries import delivery_record
from moonpalace_cli.views.inspecting.timeline_table import json_lines
from moonpalace_cli.web.call import ShownCall
from moonpalace_cli.web.json_tree import tree
from moonpalace_cli.web.messages import talk

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange

MAX_RUNS = 400
"""Maximum lines of the table of events."""
COSTS = {"cost_input": "input that was not cached", "cost_cached": "cached input", "cost_output": "output"}
PRICES = {"price_input": "price of a million input tokens", "price_cached": "price of a million cached tokens"}

type Values = Mapping[str, object]


class Tab(NamedTuple):
    """A tab: its title in English, the values for its template, and its document for programs."""

    title: str
    values: Callable[[ShownCall], Values]
    document: Callable[[ShownCall], str]


def conversation(shown: ShownCall) -> Values:
    """Return the messages."""
    return {"talk": talk(shown.known.conversation)}


def whole_document(shown: ShownCall) -> str:
    """Return all stored data of the call, like `mpal inspect --json`, with the reasons of `mpal why`."""
    reasons: list[Json] = [reason.document() for reason in shown.why]
    reports: list[Json] = [delivery_record(each) for each in shown.known.reports]
    known = shown.known
    document = inspect_document(shown.call, known.bodies, known.tags, known.explanations, reports)
    conversation: Json = {"previous": shown.turns.previous, "next": shown.turns.next, "of": shown.turns.of}
    return dumps({**document, "outcome": shown.outcome.text, "reasons": reasons, "conversation": conversation})


def request(shown: ShownCall) -> Values:
    """Return the request as it was sent."""
    line = f"{shown.call.method} {url(shown.call)}"
    return {"line": line, "body": body(read(shown.known.bodies.request)), "side": "request"}


def request_document(shown: ShownCall) -> str:
    """Return the body of the request."""
    return dumps(members("body", read(shown.known.bodies.request)))


def response(shown: ShownCall) -> Values:
    """Return the answer; of a stream, the merged one."""
    line = status_line(shown.call.status_code)
    content = answer(shown.call, shown.known.bodies)
    return {"line": line, "body": body(content.shown(merged=True)), "side": "response"}


def response_document(shown: ShownCall) -> str:
    """Return the body of the answer, and the events of a stream."""
    content = answer(shown.call, shown.known.bodies)
    events = {} if content.events is None else members("event_stream", content.events)
    return dumps({**members("body", content.body), **events})


def headers(shown: ShownCall) -> Values:
    """Return the headers of both sides."""
    return {
        "sides": [
            ("Request", header_pairs(shown.call.request_headers)),
            ("Response", header_pairs(shown.call.response_headers or "")),
        ]
    }


def headers_document(shown: ShownCall) -> str:
    """Return the headers of both sides as lists of pairs."""
    request_headers, received = (pairs for _, pairs in headers(shown)["sides"])  # type: ignore[attr-defined]
    return dumps({"request": request_headers, "response": received})


def events(shown: ShownCall) -> Values:
    """Return the events of the stream in lines."""
    runs = timeline.runs(shown.moments)
    worst = timeline.longest(shown.moments)
    return {"runs": runs[:MAX_RUNS], "rest": max(0, len(runs) - MAX_RUNS), "worst": worst}


def events_document(shown: ShownCall) -> str:
    """Return each event, like `mpal inspect --timeline --json`."""
    return f'{{"events": [{", ".join(json_lines(shown.moments))}]}}'


def changes(shown: ShownCall) -> Values:
    """Return the changes made by the proxy, and its warnings; they are in the row."""
    return {}


def changes_document(shown: ShownCall) -> str:
    """Return the changes made by the proxy, and its warnings."""
    return dumps({"changes": list(shown.call.changes), "warnings": list(shown.call.warnings)})


def cache(shown: ShownCall) -> Values:
    """Return why the prompt was cached or not, like `mpal cache why`."""
    finding = Prompts(shown.engine).found(shown.call)
    return {"found": finding, "lines": [] if finding is None else prefix_report.lines(finding)}


def cache_document(shown: ShownCall) -> str:
    """Return why the prompt was cached or not, like `mpal cache why --json`; null for a call that continues none."""
    finding = Prompts(shown.engine).found(shown.call)
    return "null" if finding is None else dumps(prefix_report.document(finding))  # type: ignore[arg-type]


def cost(shown: ShownCall) -> Values:
    """Return the cost by part."""
    call = shown.call
    saved = cost_saved(call)
    return {
        "amounts": priced(call, COSTS | {"cost": "altogether"}),
        "saved": price(saved, call.cost_currency) if saved else "",
        "prices": priced(call, PRICES),
    }


def priced(call: Exchange, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the known amounts in these fields, under names for people."""
    amounts = ((title, getattr(call, name)) for name, title in names.items())
    return [(title, price(value, call.cost_currency)) for title, value in amounts if value is not None]


def cost_document(shown: ShownCall) -> str:
    """Return the cost by part."""
    names = (*COSTS, "cost", "cost_currency", *PRICES, "reported_cost")
    return dumps({**{name: getattr(shown.call, name) for name in names}, "cost_saved": cost_saved(shown.call)})


TABS = {
    "": Tab("Conversation", conversation, whole_document),
    "request": Tab("Request", request, request_document),
    "response": Tab("Response", response, response_document),
    "headers": Tab("Headers", headers, headers_document),
    "events": Tab("Events", events, events_document),
    "changes": Tab("Changes", changes, changes_document),
    "cache": Tab("Cache", cache, cache_document),
    "cost": Tab("Cost", cost, cost_document),
}
"""The tabs by the end of their address."""


MAX_TEXT = 200_000
"""Maximum characters of a text that are shown; the raw text has all of them."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body: the HTML of its JSON, or its text, without the last `rest` characters."""

    html: Markup | None
    text: str
    rest: int = 0


def body(content: Content) -> Body:
    """Return a body as shown on a page."""
    if isinstance(content, Verbatim):
        return Body(tree(content.text), "")
    text = readable(content)
    return Body(None, text[:MAX_TEXT], max(0, len(text) - MAX_TEXT))
