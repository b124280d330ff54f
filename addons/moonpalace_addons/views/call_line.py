"""A call in one line, made to be read: the same in the proxy's log and in all commands.

    12:33:32 #110 kimi-k2.6 stream stop 7.4k→45 (6.9k cached) ttft 0.8s 2.1s "why does the answer stop…"

What matters least is left out first if the line is wider than the terminal.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from moonpalace_addons.store.fields import Exchange, model
from moonpalace_addons.store.read.outcomes import Outcome, Style, outcome
from moonpalace_addons.views.durations import MILLISECOND, SECOND, duration
from moonpalace_addons.views.money import price
from moonpalace_addons.wire.columns import shortened, shortened_name, width_of
from moonpalace_addons.wire.foreign import printable

MAX_WORDS = 80
"""Maximum columns of the user's words if the line may be of any width."""
MIN_WORDS = 12
MAX_MODEL = 28
MAX_ENDPOINT = 16
MODEL, OUTCOME = 2, 3
"""The position of these pieces in the line."""
SHRINKING = ((MODEL, 16), (OUTCOME, 20), (MODEL, 8), (OUTCOME, 12))
"""The pieces that are shortened, in this order, each with its maximum columns afterwards."""
UNITS = "kMG"


class Piece(NamedTuple):
    """A part of the line; pieces with the greatest `rank` are left out first, those with rank 0 never."""

    text: str
    style: Style = "plain"
    rank: int = 0


def call_line(
    call: Exchange,
    words: str = "",
    width: int | None = None,
    *,
    day: bool = False,
    ended: Outcome | None = None,
) -> list[Piece]:
    """Return the pieces of the line, to be joined by spaces, at most `width` columns wide.

    `words` are the user's last words. With `day` the time includes the date. `ended` says how the call ended, if not in
    English.
    """
    pieces = list(facts(call, ended or outcome(call), day=day))
    if width is None:
        return [*pieces, *quotation(words, MAX_WORDS)]
    pieces = fitted(pieces, width)
    left = width - total(pieces) - 1
    return [*pieces, *(quotation(words, min(left, MAX_WORDS)) if left >= MIN_WORDS else ())]


def row_line(call: Exchange) -> str:
    """Return the line for a table with a separate column for the time, including the cost of the call."""
    pieces = list(facts(call, outcome(call), day=False))[1:]
    cost = price(call.cost, call.cost_currency)
    return " · ".join(filter(None, (line_text(pieces), cost)))


def line_text(pieces: Sequence[Piece]) -> str:
    """Return the line without styles."""
    return " ".join(piece.text for piece in pieces)


def facts(call: Exchange, ended: Outcome, *, day: bool) -> Iterator[Piece]:
    """Yield the pieces of the line, except for the user's words."""
    began = call.started_at.astimezone()
    yield Piece(began.strftime("%m-%d %H:%M:%S" if day else "%H:%M:%S"), "quiet")
    yield Piece(f"#{call.id}")
    if call.endpoint_name:
        yield Piece(f"@{shortened_name(printable(call.endpoint_name), MAX_ENDPOINT)}", "quiet", 4)
    yield Piece(shortened_name(printable(model(call) or f"{call.method} {call.path}"), MAX_MODEL))
    if call.purpose:
        yield Piece(f"by mpal {printable(call.purpose)}", "quiet", 6)
    if call.is_stream:
        yield Piece("stream", "quiet", 5)
    if ended.text:
        yield Piece(ended.text, ended.style)
    if tokens := token_text(call):
        yield Piece(tokens, rank=2)
    if call.cached_tokens:
        yield Piece(f"({amount(call.cached_tokens)} cached)", "quiet", 3)
    if call.time_to_first_token is not None:
        yield Piece(f"ttft {seconds(call.time_to_first_token)}", "quiet", 6)
    if call.latency is not None:
        yield Piece(seconds(call.latency), rank=1)


def fitted(pieces: Sequence[Piece], width: int) -> list[Piece]:
    """Return the pieces that fit: leave out the least important ones, then shorten the model and the outcome."""
    kept = list(pieces)
    while total(kept) > width and any(piece.rank for piece in kept):
        kept.remove(max(kept, key=lambda piece: piece.rank))
    whole = [piece.text for piece in kept]
    for place, least in SHRINKING:
        if (over := total(kept) - width) > 0 and place < len(kept):
            short = shortened_name if place == MODEL else shortened
            room = max(least, width_of(kept[place].text) - over)
            kept[place] = kept[place]._replace(text=short(whole[place], room))
    return kept


def total(pieces: Sequence[Piece]) -> int:
    """Return the width of the line."""
    return sum(width_of(piece.text) for piece in pieces) + max(0, len(pieces) - 1)


def quotation(words: str, width: int) -> list[Piece]:
    """Return the words in quotes, or no piece if there are none."""
    text = " ".join(printable(words).split())
    return [Piece(f'"{shortened(text, width - 2)}"', "quiet")] if text else []


def token_text(call: Exchange) -> str:
    """Return the number of input and output tokens."""
    if call.prompt_tokens is None and call.completion_tokens is None:
        return ""
    return f"{amount(call.prompt_tokens)}→{amount(call.completion_tokens)}"


def amount(number: int | None) -> str:
    """Format a number in at most four characters, as in 950, 7.4k, 128k, 1.2M; a question mark if it is unknown."""
    if number is None:
        return "?"
    if number < 1000:
        return str(number)
    scaled, unit = number / 1000, 0
    while scaled >= 999.5 and unit < len(UNITS) - 1:
        scaled, unit = scaled / 1000, unit + 1
    return f"{scaled:.{1 if scaled < 9.95 else 0}f}{UNITS[unit]}"


def seconds(nanoseconds: int) -> str:
    """Format a duration, as in 12ms, 0.8s, 12.0s, 2m05s."""
    if nanoseconds < 100 * MILLISECOND:
        return f"{nanoseconds // MILLISECOND}ms"
    return f"{nanoseconds / SECOND:.1f}s" if nanoseconds < 59.95 * SECOND else duration(nanoseconds)
