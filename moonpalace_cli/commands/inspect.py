"""`mpal inspect`: show one call in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.wire.json_text import Json, compact, dumps
from moonpalace_cli.calls.documents import inspect_document
from moonpalace_cli.calls.http_text import request_message, response_message
from moonpalace_cli.calls.presentation import has_failed
from moonpalace_cli.flags.colour import colour_flag
from moonpalace_cli.flags.forms import form_option
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.name_lists import completes, split
from moonpalace_cli.flags.selecting import CallSelection, selection_flags
from moonpalace_cli.flags.setting_flags import setting_flags
from moonpalace_cli.output import is_terminal, is_utf8, print_json, print_text, terminal_width, visible
from moonpalace_cli.text import colours
from moonpalace_cli.text.records import Form, print_records
from moonpalace_cli.views.inspecting.paging import show
from moonpalace_cli.views.inspecting.parts import PARTS, part_texts, parts_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.settings.values import Settings
    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_addons.views.timeline import Moment


def parse_parts(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Return the names given by --print, without duplicates, in the order given."""
    names = split(values)
    for name in names:
        if name not in PARTS:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(PARTS)}", context, parameter)
    if values and not names:
        raise click.BadParameter(f"name at least one of {', '.join(PARTS)}", context, parameter)
    return names


@dataclass(frozen=True, slots=True)
class Shown:
    """The parts and formats to print."""

    parts: Sequence[str]
    request: bool
    response: bool
    merged: bool
    timeline: bool
    every: bool
    chat: bool
    as_json: bool
    pager: bool
    form: Form


@click.command("inspect")
@selection_flags(views=True)
@click.option(
    "--print",
    "parts",
    metavar="PARTS",
    multiple=True,
    callback=parse_parts,
    shell_complete=completes(lambda: PARTS),
    help=f"Parts to show, separated by commas: {', '.join(PARTS)}. Default: metadata, and error for a failed call.",
)
@click.option("--print-request", is_flag=True, help="Print the request in HTTP format.")
@click.option("--print-response", is_flag=True, help="Print the response in HTTP format.")
@click.option("--merge-event-stream", "merged", is_flag=True, help="Show a stream's merged completion, not its events.")
@click.option("--chat", is_flag=True, help="Show the conversation as readable text.")
@click.option("--timeline", is_flag=True, help="Show when each event of a stream arrived, and its stalls.")
@click.option("--all-events", "every", is_flag=True, help="Show each event of --timeline on a line of its own.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; for --timeline one per event.")
@form_option
@click.option("--no-pager", "pager", is_flag=True, flag_value=False, default=True, help="Do not use a pager.")
@colour_flag
@setting_flags("database", "endpoint")
def command(
    selected: CallSelection,
    parts: list[str],
    print_request: bool,
    print_response: bool,
    merged: bool,
    chat: bool,
    timeline: bool,
    every: bool,
    as_json: bool,
    pager: bool,
    form: Form,
    settings: Settings,
) -> None:
    """Show one call, given by its number (mpal inspect 13), the beginning of an id, or a flag such as --last.

    With filters, the newest matching call is shown, or the last N with --last N. If several calls have the same id, the
    newest is shown and the others are named. On a terminal, JSON is coloured (unless NO_COLOR is set), and output
    longer than the screen goes through $PAGER.
    """
    options = Shown(parts, print_request, print_response, merged, timeline, every, chat, as_json, pager, form)
    refuse_contradictions(options)
    with opened(settings.database, needs_calls=True) as engine:
        from moonpalace_addons.store.read import selection
        from moonpalace_addons.store.records import contents

        exchanges = selection.in_order(engine, selected.find(engine))
        calls = ((exchange, contents.bodies(engine, exchange.id)) for exchange in exchanges)
        if form != "table":
            print_records((line for call in calls for line in record_lines(engine, *call, options)), form)
            return
        for exchange, bodies in calls:
            print_call(engine, exchange, bodies, options)


def refuse_contradictions(options: Shown) -> None:
    """Raise UsageError for options that exclude each other."""
    json_flag = f"-o {options.form}" if options.form != "table" else "--json" if options.as_json else None
    if json_flag and (options.parts or options.request or options.response):
        raise click.UsageError(
            f"{json_flag} prints everything: leave out --print, --print-request and --print-response"
        )
    if options.parts and (options.request or options.response):
        raise click.UsageError("--print gives a table: leave out --print-request and --print-response")
    others = options.parts or options.request or options.response or options.merged
    if (options.chat or options.timeline) and others:
        name = "--chat" if options.chat else "--timeline"
        raise click.UsageError(f"{name} is a view of its own: leave out the --print options and --merge-event-stream")
    if options.chat and (options.timeline or json_flag):
        raise click.UsageError(f"--chat and {'--timeline' if options.timeline else json_flag} exclude each other")
    if options.every and not options.timeline:
        raise click.UsageError("--all-events is for --timeline")


def print_call(engine: Engine, exchange: Exchange, bodies: Bodies, options: Shown) -> None:
    """Print the requested parts of a call."""
    if options.timeline:
        print_timeline(engine, exchange, bodies, options)
    elif options.chat:
        print_chat(exchange, bodies, options)
    elif options.as_json:
        print_document(engine, exchange, bodies, options)
    elif options.request or options.response:
        print_messages(exchange, bodies, options)
    else:
        print_table(engine, exchange, bodies, options)


def record_lines(engine: Engine, exchange: Exchange, bodies: Bodies, options: Shown) -> Iterator[str]:
    """Yield the output for programs as JSON objects in one line each: the call, or the events of its timeline."""
    if not options.timeline:
        yield compact(dumps(document(engine, exchange, bodies)))
        return
    from moonpalace_cli.views.inspecting import timeline_table

    yield from timeline_table.json_lines(moments(engine, exchange, bodies))


def document(engine: Engine, exchange: Exchange, bodies: Bodies) -> dict[str, Json]:
    """Return all stored data of a call."""
    from moonpalace_addons.store.records import deliveries, explanations
    from moonpalace_cli.views.deliveries import delivery_record

    with engine.connect() as connection:
        reports: list[Json] = [delivery_record(each) for each in deliveries.of_call(connection, exchange.id)]
    explained = explanations.of_call(engine, exchange.id)
    return inspect_document(exchange, bodies, tags_of(engine, exchange), explained, reports)


def print_document(engine: Engine, exchange: Exchange, bodies: Bodies, options: Shown) -> None:
    """Print everything as JSON."""
    text = dumps(document(engine, exchange, bodies))
    if is_terminal():
        text = visible(text)
        show(colours.paint_body(text) if colours.wanted() else text, pager=options.pager)
    else:
        print_json(text)


def tags_of(engine: Engine, exchange: Exchange) -> Sequence[str]:
    """Return the tags of the call."""
    from moonpalace_addons.store.records import labels

    return labels.tags_of(engine, [exchange.id]).get(exchange.id, ())


def labels_of(engine: Engine, exchange: Exchange) -> dict[str, str]:
    """Return the tags of the call, and which models have explained it."""
    from moonpalace_addons.store.records import explanations

    models = dict.fromkeys(each.model for each in explanations.of_call(engine, exchange.id))
    explained = f"by {', '.join(models)}; mpal show {exchange.id} says more" if models else ""
    return {"tags": ", ".join(tags_of(engine, exchange)), "explained": explained}


def print_messages(exchange: Exchange, bodies: Bodies, options: Shown) -> None:
    """Print the call in HTTP format."""
    messages: list[str | bytes] = [request_message(exchange, bodies)] if options.request else []
    if options.response:
        messages.append(response_message(exchange, bodies, merged=options.merged))
    if is_terminal():
        show("\n\n".join(map(shown_message, messages)), pager=options.pager)
        return
    for place, message in enumerate(messages):
        if place:
            click.echo()
        if isinstance(message, str):
            print_text(message)
        else:
            click.echo(message, nl=False)


def shown_message(message: str | bytes) -> str:
    """Return a message for a terminal, without a body that is not text."""
    if isinstance(message, bytes):
        head, _, body = message.partition(b"\n\n")
        message = f"{head.decode()}\n\n({len(body):,} bytes that are not UTF-8 text; pipe the output to get them)\n"
    text = visible(message).removesuffix("\n")
    return colours.paint_message(text) if colours.wanted() else text


def print_table(engine: Engine, exchange: Exchange, bodies: Bodies, options: Shown) -> None:
    """Print the parts side by side, or the default ones."""
    names = options.parts or ["metadata", *(["error"] if has_failed(exchange) else [])]
    labels = labels_of(engine, exchange) if "metadata" in names else {}
    texts = part_texts(exchange, bodies, names, merged=options.merged, labels=labels)
    harmless = {name: visible(text) for name, text in texts.items()}
    show(parts_table(harmless, terminal_width(), colour=colours.wanted()), pager=options.pager)


def moments(engine: Engine, exchange: Exchange, bodies: Bodies) -> list[Moment]:
    """Return the events of a stream with their times."""
    from moonpalace_addons.store.records import contents
    from moonpalace_addons.views import timeline

    if bodies.event_stream is None:
        raise MoonPalaceError(f"call {exchange.id} has no stream: only the events of a stream have a timeline")
    return timeline.moments(bodies.event_stream, contents.event_times(engine, exchange.id), exchange.path)


def print_timeline(engine: Engine, exchange: Exchange, bodies: Bodies, options: Shown) -> None:
    """Print the timeline of a stream."""
    from moonpalace_addons.views import timeline
    from moonpalace_cli.views.inspecting import timeline_table

    events = moments(engine, exchange, bodies)
    if options.as_json:
        for line in timeline_table.json_lines(events):
            print_json(line)
        return
    lines = timeline.runs(events, every=options.every)
    text = timeline_table.table(exchange, events, lines, terminal_width(), blocks=is_utf8(), colour=colours.wanted())
    show(text, pager=options.pager)


def print_chat(exchange: Exchange, bodies: Bodies, options: Shown) -> None:
    """Print the conversation."""
    from moonpalace_addons.views.chat_text import chat_lines
    from moonpalace_addons.views.completions import request_and_answer
    from moonpalace_addons.views.conversation import conversation
    from moonpalace_cli.views.inspecting.chat_text import chat_text

    request, answer = request_and_answer(bodies, exchange.path)
    turns = conversation(exchange.path, request, answer)
    if not turns.request_turns and not turns.answer_turns:
        raise MoonPalaceError(
            f"call {exchange.id} contains no conversation; mpal inspect --print-request shows what it is"
        )
    lines = chat_lines(exchange, turns, answer)
    show(chat_text(lines, width=terminal_width(), colour=colours.wanted()), pager=options.pager)
