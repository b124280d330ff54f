"""Tests of the table of `mpal inspect`."""

# ruff: noqa: E501 - the tables expected are wide

from collections.abc import Callable

from wcwidth import wcswidth

from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_cli.views.inspecting.parts import PARTS, part_texts, parts_table
from tests.tables import for_each


def test_piped_bodies_are_as_wide_as_the_original_had_them(exchange: Callable[..., Exchange]) -> None:
    """Without a terminal bodies are wrapped at 48 columns, everything else is whole."""
    bodies = Bodies('{"content":"你好 it\'s me, and this is Kimi. 你好你好你好"}'.encode(), b"x" * 50, None)
    call = exchange(response_headers="Strict-Transport-Security: max-age=15724800; includeSubDomains\r\n")
    texts = part_texts(call, bodies, ["request_body", "response_body", "response_header"], merged=False)
    assert parts_table(texts, None) == (
        "+--------------------------------------------------+--------------------------------------------------+----------------------------------------------------------------+\n"
        "| request_body                                     | response_body                                    | response_header                                                |\n"
        "+--------------------------------------------------+--------------------------------------------------+----------------------------------------------------------------+\n"
        "| {                                                | xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | Strict-Transport-Security: max-age=15724800; includeSubDomains |\n"
        '|     "content": "你好 it\'s me, and this is Kimi.  | xx                                               |                                                                |\n'
        '| 你好你好你好"                                    |                                                  |                                                                |\n'
        "| }                                                |                                                  |                                                                |\n"
        "+--------------------------------------------------+--------------------------------------------------+----------------------------------------------------------------+"
    )


@for_each("width", [40, 80, 100, 200, 300])
@for_each("names", [PARTS, ("request_body", "response_body"), ("metadata",)])
def test_tables_fit_the_terminal(exchange: Callable[..., Exchange], width: int, names: tuple[str, ...]) -> None:
    """On a terminal no line is wider than it, and nothing is lost."""
    bodies = Bodies(b'{"content":"' + "月宫".encode() * 300 + b'"}', b"data: " + b"z" * 900, None)
    texts = part_texts(exchange(refused=True), bodies, names, merged=False)
    table = parts_table(texts, width)
    assert all(wcswidth(line) <= width for line in table.split("\n"))
    assert table.count("月") == texts.get("request_body", "").count("月")
    assert table.count("z") == texts.get("response_body", "").count("z")


def test_narrow_terminals_get_parts_under_each_other() -> None:
    """If a body would get too narrow, or another part would be wrapped, each has its own table."""
    rule = "+" + "-" * 42 + "+"
    stacked = [rule, f"| {'request_body':40} |", rule, f"| {'a' * 40} |", rule]
    stacked += [rule, f"| {'request_header':40} |", rule, f"| {'b' * 40} |", rule]
    assert parts_table({"request_body": "a" * 40, "request_header": "b" * 40}, 78).split("\n") == stacked


def test_bodies_are_wrapped_to_stand_beside_the_rest() -> None:
    """A body shrinks before other parts, down to a readable width."""
    assert parts_table({"request_body": "a" * 40, "request_header": "b" * 40}, 79).split("\n") == [
        "+----------------------------------+------------------------------------------+",
        f"| {'request_body':32} | {'request_header':40} |",
        "+----------------------------------+------------------------------------------+",
        f"| {'a' * 32} | {'b' * 40} |",
        f"| {'a' * 8:32} | {'':40} |",
        "+----------------------------------+------------------------------------------+",
    ]


def test_errors_are_wrapped_at_words() -> None:
    """A long error is as wide as a body without a terminal, and shrinks like one on a terminal; words stay whole."""
    texts = {"metadata": "{}", "error": "upstream_tls: " + "certificate verify failed " * 3}
    assert parts_table(texts, None).split("\n")[3:6] == [
        "| {}       | upstream_tls: certificate verify failed      |",
        "|          | certificate verify failed certificate verify |",
        "|          | failed                                       |",
    ]
    assert all(len(line) <= 50 for line in parts_table(texts, 50).split("\n"))


def test_events_with_odd_line_ends_are_shown_in_lines(exchange: Callable[..., Exchange]) -> None:
    """CRLF in a stream ends a line of the table like LF."""
    bodies = Bodies(b"", None, b"data: 1\r\n\r\ndata: 2\n\n")
    texts = part_texts(exchange(is_stream=True), bodies, ["response_body"], merged=True)
    assert texts == {"response_body": "data: 1\n\ndata: 2\n\n"}
