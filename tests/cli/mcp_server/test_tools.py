"""The tools, called as the server calls them."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.flags.filters import FILTERS
from moonpalace_cli.mcp_server import tools
from moonpalace_cli.mcp_server.pages import BYTES_PER_TOKEN
from moonpalace_cli.mcp_server.reading import Options, Reader
from moonpalace_cli.mcp_server.serving import checked
from moonpalace_cli.web import time_limit
from tests.cli.conftest import Store
from tests.cli.mcp_server.conftest import Ask, body, completion
from tests.exchanges import STARTED

type Arguments = dict[str, object]


def test_search_shows_a_call_a_line_the_newest_first(ask: Ask, store: Store) -> None:
    """Calls are listed with the user's last words, and the limit says where to continue."""
    for number in range(5):
        store.add(request=body(("user", f"word {number}")), started_at=STARTED + timedelta(seconds=number))
    first = ask("search_calls", limit=2)
    assert [line.split('"')[1] for line in first.split("\n")[1:3]] == ["word 4", "word 3"]
    assert first.endswith('There is more: call again with cursor "4".')
    store.add(request=body(("user", "newer")), started_at=STARTED + timedelta(hours=1))
    second = ask("search_calls", limit=2, cursor="4")
    assert [line.split('"')[1] for line in second.split("\n")[1:3]] == ["word 2", "word 1"]
    assert "There is more" not in ask("search_calls", limit=2, cursor="2")


def test_search_takes_every_filter_of_the_commands(ask: Ask, store: Store) -> None:
    """Filters and predicates are those of `mpal list`, under the same names."""
    store.add(request=body(("user", "rockets")), status_code=429, error_kind="rate_limit_reached_error")
    store.add(request=body(("user", "moons")), finish_reason="length", latency=9_000_000_000, category="badcase")
    named = {parameter.name for parameter in tools.TOOLS[0].parameters}
    assert {each.name for each in FILTERS} <= named
    found = {
        "failed": (True, "rockets"),
        "cut": (True, "moons"),
        "status": ("4xx", "rockets"),
        "slow": ("5s", "moons"),
        "bad": (True, "moons"),
        "grep": (["rockets"], "rockets"),
        "predicate": ("latency > 5s", "moons"),
    }
    for name, (value, words) in found.items():
        lines = ask("search_calls", **{name: value}).split("\n")
        assert len(lines) == 2, name
        assert words in lines[1], name
    assert ask("search_calls", failed=True, cut=True).endswith("No stored call matches.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"statu": "429"}, "the tool takes no argument 'statu'; did you mean status"),
        ({"limit": 0}, "limit must be a whole number from 1 to 500"),
        ({"limit": True}, "limit must be a whole number from 1 to 500"),
        ({"max_tokens": 299}, "max_tokens must be a whole number from 300 to 100,000"),
        ({"failed": "yes"}, "failed must be true or false"),
        ({"model": [1]}, "model must be a text or a list of at most 20 texts"),
        ({"grep": "x" * 10_001}, "grep must be a text or a list of at most 20 texts"),
        ({"grep": ["x"] * 21}, "grep must be a text or a list of at most 20 texts"),
        ({"session_of": 10**30}, "no stored call matches '1000"),
        ({"session_of": "9" * 5000}, "no stored call matches '999"),
        ({"session_of": "a\x00b"}, "no stored call matches 'a\\x00b'"),
        ({"session_of": "\ud800"}, "no stored call matches '\\ud800'"),
        ({"limit": float("inf")}, "limit must be a whole number from 1 to 500"),
        ({"status": "oops"}, "status: 'oops' is not a status"),
        ({"predicate": "modle == 'k'"}, "predicate: there is no field modle; did you mean model"),
        ({"session_of": 7}, "no stored call has id 7"),
        ({"cursor": "7"}, "call 7 is no longer stored"),
        ({"cursor": "x"}, "the cursor does not come from search_calls"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(ask: Ask, arguments: dict[str, object], message: str) -> None:
    """Invalid arguments are refused with advice."""
    with pytest.raises(MoonPalaceError) as refused:
        ask("search_calls", **arguments)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_other_tools_refuse_what_they_do_not_take(ask: Ask) -> None:
    """A missing argument, an unknown part, an unknown tool and a missing call are named."""
    cases: dict[str, tuple[str, Arguments]] = {
        "call is missing: the number of a call": ("show_call", {}),
        "no stored call has id 13": ("show_call", {"call": 13}),
        "no stored call matches 'chatcmpl-x'": ("why", {"call": "chatcmpl-x"}),
        "the range 3-1 is empty": ("why", {"call": "3-1"}),
        "part must be one of metadata": ("read_part", {"call": 1, "part": "all"}),
        "there is no tool 'list_calls'; did you mean label_call": ("list_calls", {}),
        "there is no tool 'label_call'": ("label_call", {"call": 1}),
        "by must be one of model, day": ("cost", {"by": "colour"}),
    }
    for message, (name, arguments) in cases.items():
        with pytest.raises(MoonPalaceError) as refused:
            ask(name, **arguments)
        assert str(refused.value).startswith(message.partition(";")[0])


def test_a_conversation_is_read_from_any_message_on(ask: Ask, store: Store) -> None:
    """Each message has its number and role, reasoning and tool calls are named, the answer comes last."""
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "moon"}'}}
    store.add(
        request=body(("system", "be brief"), ("user", "你好"), tools=[{"function": {"name": "look"}}]),
        response=completion("I look.", reasoning_content="thinking", tool_calls=[call]),
    )
    whole = ask("read_conversation", call=1).split("\n")[1:]
    assert whole == [
        *('Message 1 of 4, asked, role "tools" "1":', "| look", 'Message 2 of 4, asked, role "system":', "| be brief"),
        *('Message 3 of 4, asked, role "user":', "| 你好", 'Message 4 of 4, answered, role "assistant":'),
        *("Reasoning:", "| thinking", "| I look.", 'Call of the tool "look (call_1)" with:', "| {"),
        *('|     "at": "moon"', "| }"),
    ]
    assert ask("read_conversation", call=1, start=-1).split("\n")[1:] == whole[6:]
    assert ask("read_conversation", call=1, start=3).split("\n")[1:] == whole[4:]
    assert ask("read_conversation", call=1, start=99).split("\n")[1:] == whole[6:]
    assert ask("read_conversation", call="chatcmpl-00000001").split("\n")[1:] == whole


def test_parts_are_read_as_they_were_sent(ask: Ask, store: Store) -> None:
    """Headers, bodies, metadata and the events of a stream can be read by their names."""
    events = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\ndata: [DONE]\n\n'
    store.add(request=body(("user", "hello")), response=completion("hi"), events=events, is_stream=True)
    assert '| "content": "hello"' in ask("read_part", call=1, part="request_body").replace("|" + " " * 13, "| ")
    assert "| User-Agent: OpenAI/Python 1.50.0" in ask("read_part", call=1, part="request_header")
    assert "| data: [DONE]" in ask("read_part", call=1, part="events")
    assert "data:" not in ask("read_part", call=1, part="response_body")
    assert '"moonpalace_id": "1"' in ask("read_part", call=1, part="metadata")
    store.add(request=body(("user", "hello")), response=completion("hi"))
    assert ask("read_part", call=2, part="events").endswith("The answer of this call is not a stream.")


def test_why_compare_and_sums_answer(ask: Ask, store: Store) -> None:
    """A truncated answer is explained, two calls are compared, tokens and cost are summed, cache misses are ranked."""
    common = [("system", "x" * 5000)]
    usage: Any = {"prompt_tokens": 2000, "cached_tokens": 0, "price_input": 4.0, "price_cached": 1.0}
    usage |= {"cost": 0.5, "cost_currency": "USD"}
    store.add(request=body(*common, ("user", "one")), response=completion("the same, then this"), **usage)
    store.add(
        request=body(*common, ("user", "one"), ("user", "two"), max_tokens=7),
        response=completion("the same, then that"),
        finish_reason="length",
        started_at=STARTED + timedelta(seconds=9),
        session="s-1",
        **usage,
    )
    assert "| the answer was cut at 7 tokens; the request allows 7\nMoonPalace's advice:\n| raise" in ask("why", call=2)
    assert ask("why", call=1).endswith("Nothing that is stored shows a fault.")
    compared = ask("compare_calls", call=2, other=1)
    assert "| finish_reason: stop → length\n" in compared
    assert "| messages: 2 of 3 were in call 1 too" in compared
    assert "the same up to character 17, then:\ncall 1, 19 characters in all:\n| is\ncall 2" in compared
    assert "| | kimi-k3 | 2 | 0 | 4000 | 14 |" in ask("statistics")
    assert "| 1.00 | 0.00 | USD |" in ask("cost")
    assert "| | user-" in ask("cost", by="session")
    assert "lost: only 9 s had passed" in ask("cache", call=2)
    assert "| all misses: 1 call, " in ask("cache")
    assert "continues none of the (at most 50) calls before it" in ask("cache", call=1)


def test_answers_keep_to_the_budget_on_a_call_of_two_megabytes(ask: Ask, store: Store) -> None:
    """For any tool and budget, an answer has no more bytes than allowed."""
    words = "月亮 and " * 100_000 + "\n" + '\\"\n' * 200_000
    short = words[-100_000:]
    store.add(request=body(("user", words)), response=completion(short), error_message=short)
    store.add(request=body(("user", words + "x")), response=completion(short + "y"))
    assert len(body(("user", words))) > 2_000_000
    calls: dict[str, Arguments] = {
        "search_calls": {},
        "show_call": {"call": 1},
        "read_conversation": {"call": 1},
        "read_part": {"call": 1, "part": "request_body"},
        "why": {"call": 1},
        "compare_calls": {"call": 1, "other": 2},
        "statistics": {},
        "cost": {},
        "cache": {"call": 2},
        "my_session": {"call": 1},
    }
    for name, arguments in calls.items():
        for budget in (300, 4000) if name.startswith("read") else (300,):
            answer = ask(name, max_tokens=budget, **arguments)
            assert len(answer.encode()) <= budget * BYTES_PER_TOKEN, name
            assert len(answer.split("\n")) > 1, name


def test_what_identifies_people_is_replaced_unless_raw(ask: Ask, store: Store, url: str) -> None:
    """Every tool shows the same pseudonyms; a raw server shows what is stored."""
    secret, mail = "u-4711-account", "jane.doe@example.com"
    texts = ("user", f"write to {mail}")
    headers = f"Msh-Uid: {secret}\r\nContent-Type: application/json\r\n"
    for number in range(2):
        store.add(
            request=body(("system", "x" * 3000), texts, ("user", f"{number} {mail} {number}"), user=secret),
            response=completion(f"sent to {mail} for {secret}"),
            response_headers=headers,
            msh_uid=secret,
            session=secret,
            prompt_tokens=3000,
            note=f"asked by {mail}",
            error_message=f"{mail} is unknown",
            started_at=STARTED + timedelta(seconds=number),
        )
    raw = Reader(Options(url, raw=True))
    seen = 0
    calls: dict[str, Arguments] = {
        "search_calls": {},
        "show_call": {"call": 1},
        "read_conversation": {"call": 1},
        "read_part": {"call": 1, "part": "response_header"},
        "compare_calls": {"call": 1, "other": 2},
        "cost": {"by": "session"},
        "cache": {"call": 2},
        "my_session": {"call": 1},
    }
    for name, arguments in calls.items():
        answer, shown = ask(name, **arguments), tools.answer(raw, name, arguments)
        assert mail not in answer, name
        assert secret not in answer, name
        seen += mail in shown or secret in shown
    assert seen == 8
    raw.close()


def test_nothing_can_be_changed_without_leave(reader: Reader, store: Store) -> None:
    """There is no tool for labels, and the database itself refuses changes through the server's connections."""
    store.add()
    assert [tool.name for tool in tools.tools(reader.options) if tool.changes] == []
    with reader.engine.connect() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.execute(text("UPDATE exchanges SET note = 'x'"))


def test_labels_are_set_with_leave(url: str, store: Store) -> None:
    """A server that may label sets the same labels as `mpal label`, and refuses the same texts."""
    store.add()
    reader = Reader(Options(url, allow_label=True))
    given = {"call": 1, "category": "bad", "tags": ["moon", "slow"], "note": "see 2"}
    assert tools.answer(reader, "label_call", given) == "Labelled call 1."
    call = reader.call(1)
    assert (call.exchange.category, call.tags, call.exchange.note) == ("badcase", ("moon", "slow"), "see 2")
    tools.answer(reader, "label_call", {"call": 1, "category": "none", "untag": "moon", "note": ""})
    call = reader.call(1)
    assert (call.exchange.category, call.tags, call.exchange.note) == (None, ("slow",), None)
    for wrong, message in (({}, "give a category"), ({"tags": "a\nb"}, "not a tag"), ({"note": "\x1b"}, "a note is")):
        with pytest.raises(MoonPalaceError, match=message):
            tools.answer(reader, "label_call", {"call": 1, **wrong})
    reader.close()


def test_schemas_name_what_is_needed(reader: Reader) -> None:
    """Each tool tells clients its arguments as JSON Schema."""
    for tool in tools.TOOLS:
        schema = json.loads(json.dumps(tool.schema))
        assert set(schema["required"]) <= set(schema["properties"])
        assert all(each["description"] and each["type"] for each in schema["properties"].values())


def test_a_slow_question_is_ended(ask: Ask, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent is told to narrow its filter, and the next request is answered."""
    store.add(request=body(("user", "hello")))
    with monkeypatch.context() as patch:
        patch.setattr(time_limit, "SECONDS", -1.0)
        patch.setattr(time_limit, "STEPS", 1)
        with pytest.raises(MoonPalaceError, match="this takes more than 20 s: narrow the filter"):
            checked(lambda: ask("search_calls", grep="hello"))
    assert "hello" in ask("search_calls", grep="hello")


def test_a_store_may_come_later(tmp_path: object) -> None:
    """A server starts without a store, and reports that when asked."""
    reader = Reader(Options(f"sqlite:///{tmp_path}/none.sqlite"))
    with pytest.raises(MoonPalaceError, match="there is no database at"):
        tools.answer(reader, "search_calls", {})
