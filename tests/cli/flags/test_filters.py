"""Tests of the filters that all commands share."""

import json
from datetime import timedelta

import click
import pytest

from moonpalace_addons.store.query.parser import parse
from moonpalace_addons.store.tasks import State
from moonpalace_cli.flags.filters import FILTERS, Filter, Filters, filter_flags
from moonpalace_cli.main import COMMANDS, cli
from tests.cli.conftest import Mpal, Store
from tests.exchanges import STARTED
from tests.tables import for_each

SECOND = 1_000_000_000


@pytest.fixture
def calls(store: Store, mpal: Mpal) -> Store:
    """Store seven calls, each with a different property."""
    store.add(model_requested="kimi-k2.6", model_answered="kimi-k2.6", finish_reason="length")
    store.add(
        model_requested="moonshot_v1", model_answered=None, status_code=429, error_kind="rate_limit_reached_error"
    )
    store.add(refused=True, latency=6 * SECOND, started_at=STARTED - timedelta(days=1))
    store.add(state=State.TIMED_OUT, response_bytes=12, finish_reason=None)
    store.add(latency=5 * SECOND, error_kind="server_error", started_at=STARTED + timedelta(days=1))
    store.add(request=b'{"messages": [{"role": "user", "content": "don\'t \\\\ stop"}]}')
    store.add(state=State.IN_FLIGHT, status_code=None, latency=None, finish_reason=None)
    mpal("label", "1", "6", "--good", "--tag", "a'b")
    mpal("label", "2", "--bad", "--tag", "a'b", "--tag", "other")
    return store


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--model", "k2.6"], {1}),
        (["--model", "K2.6, moonshot_v1"], {1, 2}),
        (["--model", "k2.6", "--model", "moonshot"], {1, 2}),
        (["--model", "moonshot%"], set()),
        (["--model", "moonshot*"], {2}),
        (["--model", "k2*"], set()),
        (["--status", "429"], {2}),
        (["--status", "4xx,timed-out"], {2, 4}),
        (["--status", "in_flight"], {7}),
        (["--failed"], {2, 3, 4, 5}),
        (["--cut"], {1, 4}),
        (["--slow", "5s"], {3, 5}),
        (["--slow", "5.5"], {3}),
        (["--slow", "1m30s"], set()),
        (["--tag", "a'b"], {1, 2, 6}),
        (["--tag", "a'b", "--tag", "other"], {2}),
        (["--good"], {1, 6}),
        (["--bad"], {2}),
        (["--since", "2026-11-24"], {5}),
        (["--until", "2026-11-22"], {3}),
        (["--until", "2026-11-23"], {1, 2, 3, 4, 6, 7}),
        (["--since", "2026-11-23", "--until", "2026-11-23 01:27"], {1, 2, 4, 6, 7}),
        (["--grep", "don't stop"], {6}),
        (["--grep", "don't", "--grep", "nothing"], set()),
        (["--failed", "--model", "kimi-k3", "-p", "latency > 5500ms"], {3}),
        (["-p", "id > 2", "-p", "id < 5"], {3, 4}),
    ],
)
def test_filters(calls: Store, mpal: Mpal, flags: list[str], expected: set[int]) -> None:
    """Each filter selects its calls; values of one flag are alternatives, and different flags are combined."""
    result = mpal("list", "-n", "0", "--json", *flags)
    assert result.code == 0, result.err
    assert {json.loads(line)["id"] for line in result.out.splitlines()} == expected


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--status", "600"], "'600' is not a status; write 429, 4xx or a state: "),
        (["--status", "timeout"], "'timeout' is not a status; did you mean timed_out?"),
        (["--slow", "fast"], "'fast' is not a duration: write 5s, 300ms or 1m30s"),
        (["--slow", ""], "'' is not a duration: write 5s, 300ms or 1m30s"),
        (["--until", "soon"], "'soon' is not a time: write -2h, "),
        (["--grep", "?!"], "there is no word to search for"),
    ],
)
def test_mistakes(calls: Store, mpal: Mpal, flags: list[str], message: str) -> None:
    """An invalid value is one line that says what is valid."""
    result = mpal("list", *flags)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err


def test_one_decorator_gives_a_command_all_filters(capsys: pytest.CaptureFixture[str]) -> None:
    """A new command gets all filters, as valid predicates, in one argument."""

    @click.command()
    @filter_flags
    def command(filters: Filters) -> None:
        for text in filters.predicates:
            parse(text)
        click.echo(len(filters.predicates))

    values = {"--status": "4xx", "--slow": "1s", "--since": "-2h", "--until": "today", "--predicate": "id == 1"}
    given = [[each.names[-1], *([values.get(each.names[-1], r"it's\_%*")] if each.metavar else [])] for each in FILTERS]
    command.main([word for words in given for word in words], standalone_mode=False)
    assert int(capsys.readouterr().out) == len(FILTERS)


def test_a_name_of_two_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A filter may have a hyphen in its name, which no parameter has."""

    @click.command()
    @Filter(("--two-words",), iter, "", "TEXT", multiple=True).option()
    def command(filter_two_words: tuple[str, ...]) -> None:
        click.echo(filter_two_words[0])

    command.main(["--two-words", "id == 1"], standalone_mode=False)
    assert capsys.readouterr().out == "id == 1\n"


@for_each("name", sorted(COMMANDS))
def test_a_filter_is_the_same_everywhere(name: str) -> None:
    """A command with one of the filters has all, except those whose flags set labels there."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    flags = {parameter.name for parameter in command.params}
    found = {each.name for each in FILTERS if f"filter_{each.name}" in flags}
    assert not found or found >= {each.name for each in FILTERS} - {"good", "bad", "tag"}


def test_an_answer_of_unknown_size_is_cut(store: Store, mpal: Mpal) -> None:
    """`--cut` finds an encoded answer beyond `max-body` that broke off, but no call that failed before its answer."""
    store.add(state=State.UPSTREAM_FAILED, response_bytes=None, finish_reason=None)
    store.add(state=State.UPSTREAM_FAILED, response_bytes=None, finish_reason=None, status_code=None)
    store.add(state=State.UPSTREAM_FAILED, response_bytes=0, finish_reason=None)
    assert [json.loads(line)["id"] for line in mpal("list", "--json", "--cut").out.splitlines()] == [1]


def test_streams_without_their_last_event_are_cut(store: Store, mpal: Mpal) -> None:
    """`--cut` finds streams that the API ended early without an error, not those that lack a last line end."""
    early = "the stream ended without response.completed or another last event"
    store.add(finish_reason=None, warnings=(early,))
    store.add(finish_reason="stop", warnings=("the stream ended without the blank line of its last event",))
    assert [json.loads(line)["id"] for line in mpal("list", "--json", "--cut").out.splitlines()] == [1]
