"""The Chinese of `mpal why`."""

import ast
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import moonpalace_addons
import moonpalace_cli
from moonpalace_addons import edit_stream
from moonpalace_addons.calls import adapter, tap
from moonpalace_addons.calls.tunnel import Tunnel
from moonpalace_addons.calls.websocket_calls import SHORTENED, TOO_MANY
from moonpalace_addons.stopping import UNTAKEN
from moonpalace_addons.store.incoming import legacy_calls
from moonpalace_addons.store.read.outcomes import FAILURES
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.write import gate
from moonpalace_addons.store.write.derive import CUT_WARNING
from moonpalace_addons.tunnels import NOT_READ, description
from moonpalace_addons.wire.chat import tool_calls
from moonpalace_addons.wire.chat.completion import truncated
from moonpalace_addons.wire.chat.deviations import deviations
from moonpalace_addons.wire.faces import messages_merging, responses_merging
from moonpalace_addons.wire.faces.table import FACES
from moonpalace_cli import commands
from moonpalace_cli.explaining.language import code_of
from moonpalace_cli.views.context_caches import prefix_report
from moonpalace_cli.views.showing import chinese
from moonpalace_cli.views.showing.chinese_mistakes import MISTAKES
from moonpalace_cli.views.showing.chinese_texts import TEXTS
from moonpalace_cli.views.showing.facts import read_facts
from moonpalace_cli.views.showing.phrases import QUOTED, in_chinese, pattern_of, phrase, translated
from moonpalace_cli.views.showing.reasons import reasons
from tests.cli.conftest import Mpal, Store
from tests.tables import for_each

ROOMS = [Path(module.__file__ or "").parent for module in (chinese, prefix_report, commands)]
PACKAGES = [Path(package.__file__ or "").parent for package in (moonpalace_addons, moonpalace_cli)]
NAME = re.compile(r"\{(\w+)\}")
WORD = re.compile(r"[A-Za-z]{3}")
BETWEEN = re.compile(r"\{\w+\}|[:,(|]")
FINISHED = {**TEXTS, **MISTAKES}
PUT_TOGETHER = {"d ago", "h ago", "min ago", "repeat interrupted"}
"""Texts that the code assembles from parts."""


def sentences() -> Iterator[str]:
    """Yield all texts in the modules with sentences for people, except the Chinese ones."""
    for file in sorted(file for room in ROOMS for file in room.glob("*.py") if not file.name.startswith("chinese")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def templates() -> Iterator[str]:
    """Yield the sentences that these modules pass to `phrase` literally."""
    for file in sorted(file for room in ROOMS for file in room.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("phrase", "some"):
                given = node.args[0]
                yield from (
                    str(each.value)
                    for each in ((given.body, given.orelse) if isinstance(given, ast.IfExp) else (given,))
                    if isinstance(each, ast.Constant)
                )


def test_every_sentence_has_its_chinese() -> None:
    """Each sentence is in the table, and nothing else; both languages have the same values."""
    used = {text for text in templates() if WORD.search(NAME.sub("", text))}
    assert used - chinese.CHINESE.keys() == set()
    elsewhere = chinese.OUTCOMES | chinese.NO_FAULT | chinese.EXPLAINED | chinese.REPORTED
    assert chinese.CHINESE.keys() - elsewhere.keys() - set(sentences()) == set()
    for english, said in {**chinese.CHINESE, **TEXTS, **MISTAKES}.items():
        assert sorted(NAME.findall(english)) == sorted(NAME.findall(said)), english


def test_every_way_to_fail_has_its_chinese() -> None:
    """Every kind of failure has a Chinese text."""
    assert set(FAILURES.values()) <= chinese.OUTCOMES.keys()


CJK = re.compile(r"[\u4e00-\u9fff]")
ENGLISH = re.compile("[a-z]+ [a-z]+ [a-z]+")
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9, "prompt_tokens_details": {"cached_tokens": 8}}
TOOL = {"function": {"name": "f", "arguments": {}}}
ANSWER = {"choices": [{"message": {"tool_calls": [TOOL]}, "finish_reason": "stop"}], "usage": USAGE}


def warnings() -> Iterator[str]:
    """Yield warnings as they are generated."""
    cut = {"choices": [{"finish_reason": "length"}], "usage": {"completion_tokens": 48, "prompt_tokens": 8144}}
    yield truncated({"model": "moonshot-v1-8k"}, cut, at_limit=True, streamed=False)
    yield truncated({"max_tokens": 48}, cut, at_limit=True, streamed=False)
    yield truncated({}, {}, at_limit=False, streamed=True)
    yield from deviations(ANSWER)
    yield from deviations({"choices": [{"message": {}, "finish_reason": "tool_calls"}]})
    yield from (face.no_end for face in FACES if face.no_end)
    yield from (getattr(adapter, name) for name in ("LINGERED", "NOT_EDITED", "NOT_WHOLE", "TOO_LARGE", "UNREADABLE"))
    yield from (adapter.LOOP_WARNING, adapter.NOT_PASSED_ON, f"{adapter.BEGAN_WITH_ERROR} 429", edit_stream.UNREADABLE)
    yield from (tap.INCOMPLETE, CUT_WARNING, SHORTENED.format(7), TOO_MANY, NOT_READ, f"{UNTAKEN}: 12")
    yield from gate.warnings("request", ["api key"])
    for merging in (tool_calls, messages_merging, responses_merging):
        doubts = [text for name, text in vars(merging).items() if name.isupper() and " " in str(text)]
        yield from (f"merging the stream: {doubt}" for doubt in doubts if isinstance(doubt, str))
    yield from (legacy_calls.NO_TIME, legacy_calls.NO_STATUS, legacy_calls.NO_END)
    tunnel = Tunnel("WebSocket", 0.0)
    tunnel.count(12, from_client=True)
    yield f"{description(tunnel, None)}; the client ended it with code 1000 after 3.2 s"


def test_warnings_have_their_chinese() -> None:
    """Warnings are stored in English, and shown in Chinese with their values, clause by clause."""
    for text in warnings():
        chinese = in_chinese(text)
        assert CJK.search(chinese), text
        assert not ENGLISH.search(chinese), chinese
        assert sorted(re.findall(r"\d+", text)) == sorted(re.findall(r"\d+", chinese))


@for_each(
    ("text", "expected"),
    [
        ("silent for 61 s, then your program hung up", "静默 61 秒后，你的程序断开了"),
        ("the API broke off, silent for 3.2 s", "API 中断了，此前静默 3.2 秒"),
        ("429 rate limit reached, retry after 3 s", "429 rate limit reached，3 秒后可重试"),
        ("404, no endpoint is called {x}", "404，没有名为 {x} 的 endpoint"),
        (
            "body: stream and stream_options.include_usage set to true",
            "正文：stream 与 stream_options.include_usage 设为 true",
        ),
        ("authorization: set to the configured key", "authorization：换成了配置的 Key"),
        (
            "predicate: syntax error at character 7; expected an operator (== !=), &&, || or the end (equality is ==)",
            "表达式：第 7 个字符有语法错误；这里应该是运算符（== !=）、&&、|| 或者到此为止；相等要写成 ==",
        ),
        ("the API ended the stream with an error: expected string", "API 以错误结束了流：expected string"),
        ("the API ended the stream with an error: busy; the proxy died", "API 以错误结束了流：busy; the proxy died"),
        ("404, no endpoint is called request", "404，没有名为 request 的 endpoint"),
        (
            "merging the stream: answer came whole each time, the last is kept",
            "合并流时：answer 每次都是完整的，保留最后一次",
        ),
        ("error in the answer: timed out", "回答中有错误：timed out"),
        ("stop", "stop"),
        ("what nobody knows; silent", "what nobody knows; silent"),
        ("a, silent for " * 80 + "s", "a, silent for " * 80 + "s"),
    ],
)
def test_outcomes_with_values(text: str, expected: str) -> None:
    """An outcome is translated with its values; an unknown one is unchanged."""
    assert (translated(text, "zh"), translated(text, "en")) == (expected, text)


def test_hostile_texts_take_no_time() -> None:
    """Foreign text in them costs linear time, whatever part of a template it repeats."""
    templates = [each for each in FINISHED if NAME.search(each)]
    began = time.process_time()
    for template in templates:
        first, _, rest = template.partition("{")
        for value in ("x", "7"):
            again = f"{value} {NAME.sub(value, '{' + rest)} "
            pattern_of(template).fullmatch((first + again * 2000)[:2000] + "\n\n")
    assert time.process_time() - began < 1


def test_quoted_values_are_last() -> None:
    """A value that extends to the end of its text has nothing after it."""
    for template in FINISHED:
        assert not [name for name in NAME.findall(template)[:-1] if name in QUOTED], template
        assert not any(f"{{{name}}}" in template[: -len(name) - 2] for name in QUOTED), template


def test_finished_texts_are_those_of_the_code() -> None:
    """Each pattern corresponds to a text in the code: changing the text requires changing its Chinese."""
    files = sorted(file for room in PACKAGES for file in room.rglob("*.py") if not file.name.startswith("chinese"))
    code = re.sub(r'"\s+f?"', "", "\n".join(file.read_text(encoding="utf-8") for file in files))
    pieces = {piece.strip(" ;.)") for template in FINISHED for piece in BETWEEN.split(template)}
    assert {piece for piece in pieces if WORD.search(piece) and piece not in code} == PUT_TOGETHER


def test_values_within_values() -> None:
    """A sentence is translated with the sentences in it; braces in a value are part of it."""
    inner = (phrase("no call"), phrase("{wait}, then try again", wait=phrase("wait {seconds} s", seconds="{3}")))
    result = phrase("the API refused the request: {said}", said=inner)
    assert str(result) == "the API refused the request: no call; wait {3} s, then try again"
    assert result.in_language("zh") == "API 拒绝了请求：某个未写明的调用；等 {3} 秒再试"


@pytest.mark.parametrize(
    ("locale", "encoding", "expected"),
    [
        ("zh_CN.UTF-8", "utf-8", "zh"),
        ("zh_CN.GBK", "gbk", "zh"),
        ("zh_CN.UTF-8", "ascii", "en"),
        ("zh_TW.UTF-8", "utf-8", "en"),
        ("de_DE.UTF-8", "utf-8", "en"),
        ("", "utf-8", "en"),
    ],
)
def test_the_language_of_the_terminal(locale: str, encoding: str, expected: str) -> None:
    """The locale decides, if the encoding supports Chinese."""
    assert code_of({"LANG": locale}, encoding) == expected


def test_commands(store: Store, mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a Chinese locale the commands explain calls in Chinese, but in English to programs."""
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    store.add()
    store.add(finish_reason="length", completion_tokens=4096, reasoning_tokens=4000)
    assert mpal("why").out == (
        "#2 被 max_tokens 截断\n"
        "回答在 4096 个 token 处被截断，其中 4000 个 token 用于推理\n"
        "→ 调大 max_completion_tokens（推理也算在内），或者让模型少思考一些\n"
    )
    assert mpal("why", "1").out.startswith("#1 stop\n已存的内容看不出问题")
    shown = mpal("show").out
    assert "其中 4000 个 token 用于推理" in shown
    assert "被 max_tokens 截断，历时 " in shown
    assert re.search("^接下来 +mpal ", shown, re.MULTILINE)
    assert " 被 max_tokens 截断 " in mpal("log").out
    assert '"the answer was cut at 4096 tokens, and 4000' in mpal("why", "--json").out


def test_reasons_in_chinese(store: Store) -> None:
    """The same rules serve both languages."""
    row = store.add(status_code=401, key_fingerprint="f", error_kind="invalid_authentication_error")
    (found,) = reasons(read_facts(store.engine, exchanges.find(store.engine, id=row)[0]))
    assert found.evidence.in_language("zh") == "https://api.moonshot.cn 返回 401：它不认识这个 Key"
    assert found.advice.in_language("zh") == (
        "检查 Key 有没有写错；https://api.moonshot.cn 与 https://api.moonshot.ai 的 Key 互不通用，"
        "试试 --endpoint https://api.moonshot.ai"
    )
