"""Statistics of many calls: numbers, cost, and cache misses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from moonpalace_cli.mcp_server.arguments import Parameter, cursor_of, filters_of, tokens_of
from moonpalace_cli.mcp_server.pages import page
from moonpalace_cli.mcp_server.quoting import quoted
from moonpalace_cli.mcp_server.searching import NONE

if TYPE_CHECKING:
    from moonpalace_addons.store.read.costs import By
    from moonpalace_cli.mcp_server.reading import Reader
    from moonpalace_cli.views.context_caches.prefix_report import Finding

GROUPS = ("model", "day", "tag", "session", "endpoint")
FRAME = re.compile(r"\| [+-]+")
DEFAULT_LAST, MAX_LAST = 100, 2000

BY = Parameter("by", "What to add up by; by model if left out.", choices=GROUPS)
CALL = Parameter("call", "The call to explain; leave it out to rank the misses of many.", "call")
LAST = Parameter(
    "last", f"How many of the newest calls to compare; {DEFAULT_LAST} if left out.", "integer", bounds=(1, MAX_LAST)
)


def page_of(text: str, arguments: Mapping[str, object]) -> str:
    """Return the requested page of a text, without the frames and the padding of its tables."""
    lines = [re.sub(" {2,}", " ", line) for line in quoted(text) if not FRAME.fullmatch(line)]
    return page(lines, tokens_of(arguments), cursor_of(arguments))


def statistics(reader: Reader, arguments: Mapping[str, object]) -> str:
    """Return counts, tokens and times by model."""
    from moonpalace_addons.store.read.statistics import measured
    from moonpalace_cli.views.listing import stats

    where = filters_of(arguments).condition(reader.engine)
    groups = stats.add_up(measured(reader.engine, stats.MEASURED, where=where))
    return page_of(stats.report(groups, None, blocks=False) if groups else NONE, arguments)


def cost(reader: Reader, arguments: Mapping[str, object]) -> str:
    """Return the cost of calls."""
    from moonpalace_addons.store.read.costs import spent
    from moonpalace_cli.views import costs

    by = cast("By", arguments.get("by", "model"))
    groups = spent(reader.engine, by, filters_of(arguments).condition(reader.engine))
    named = [replace(group, name=reader.group_name(by, group.name)) for group in groups]
    return page_of(costs.table(by, named, None) if named else NONE, arguments)


def cache(reader: Reader, arguments: Mapping[str, object]) -> str:
    """Return why the prompt of a call was cached or not, or the misses of many calls."""
    if (name := arguments.get("call")) is not None:
        return page_of("\n".join(explained(reader, name)), arguments)
    from moonpalace_addons.store.read.selection import chosen_ids
    from moonpalace_cli.views.context_caches import misses

    where = filters_of(arguments).condition(reader.engine)
    ids = chosen_ids(reader.engine, where, last=cast(int, arguments.get("last", DEFAULT_LAST)))
    surveyed = misses.survey(reader.engine, ids)
    costly = misses.ranked(surveyed.misses)
    text = "\n".join([misses.table(costly, None) if costly else "no misses", *surveyed.lines()])
    return page_of(f"the newest {len(ids):,} calls\n{text}", arguments)


def explained(reader: Reader, name: object) -> list[str]:
    """Return why the prompt of a call was cached or not."""
    from moonpalace_cli.views.context_caches.misses import Prompts
    from moonpalace_cli.views.context_caches.prefix_report import lines

    row = reader.row(reader.find(name))
    finding = Prompts(reader.engine).found(row)
    if finding is None:
        cached = "unknown" if row.cached_tokens is None else f"{row.cached_tokens:,}"
        return [f"call {row.id} continues none of the (at most 50) calls before it; cached prompt tokens: {cached}"]
    return [*map(str, lines(finding if reader.options.raw else redacted(reader, finding)))]


def redacted(reader: Reader, finding: Finding) -> Finding:
    """Return a finding with redacted excerpts of the two prompts; its numbers stay."""
    from moonpalace_cli.views.context_caches.prefix_comparison import compare
    from moonpalace_cli.views.context_caches.prompts import read_request

    earlier, later = (reader.call(call.id) for call in (finding.earlier, finding.later))
    before, after = (read_request(call.bodies.request or b"", call.exchange.path) for call in (earlier, later))
    divergence = compare(before, after).divergence if before and after else None
    comparison = replace(finding.comparison, divergence=divergence)
    return replace(finding, earlier=earlier.exchange, later=later.exchange, comparison=comparison)
