"""What `mpal why` says in Chinese."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moonpalace_addons.store.read.outcomes import FAILURES
from moonpalace_addons.store.records import exchanges
from moonpalace_cli.explaining.language import code_of
from moonpalace_cli.views.showing import chinese
from moonpalace_cli.views.showing.facts import read_facts
from moonpalace_cli.views.showing.phrases import phrase
from moonpalace_cli.views.showing.reasons import reasons
from tests.cli.conftest import Outcome, Store

ROOM = Path(chinese.__file__).parent
NAME = re.compile(r"\{(\w+)\}")
WORD = re.compile(r"[A-Za-z]{3}")


def templates() -> Iterator[str]:
    """Yield the sentences in the modules of the rules."""
    for file in sorted(ROOM.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "phrase":
                argument = node.args[0]
                if isinstance(argument, ast.Constant):
                    yield str(argument.value)


def test_every_sentence_has_its_chinese() -> None:
    """Each sentence of a rule is in the table, and nothing else; both languages have the same values."""
    used = {text for text in templates() if WORD.search(NAME.sub("", text))}
    others = chinese.OUTCOMES | chinese.NO_FAULT | chinese.EXPLAINED | chinese.REPORTED
    listed = {text for text in chinese.CHINESE if text not in others and WORD.search(NAME.sub("", text))}
    built = {text for text in listed if text.startswith("; keys of ")}  # in a variable
    assert used == listed - built
    for english, translated in chinese.CHINESE.items():
        assert sorted(NAME.findall(english)) == sorted(NAME.findall(translated)), english


def test_every_way_to_fail_has_its_chinese() -> None:
    """How a call failed is said in Chinese too."""
    assert set(FAILURES.values()) <= chinese.OUTCOMES.keys()


def test_values_within_values() -> None:
    """A sentence is translated with the sentences in it; braces in a value are a part of it."""
    inner = (phrase("no call"), phrase("{wait}, then try again", wait=phrase("wait {seconds} s", seconds="{3}")))
    found = phrase("the API refused the request: {said}", said=inner)
    assert str(found) == "the API refused the request: no call; wait {3} s, then try again"
    assert found.said("zh") == "API 拒绝了请求：某个未写明的调用；等 {3} 秒再试"


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
    """The locale decides, if the encoding can hold Chinese."""
    assert code_of({"LANG": locale}, encoding) == expected


def test_commands(store: Store, mpal: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a Chinese locale the commands say in Chinese why a call ended, to programs in English."""
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    store.add()
    store.add(finish_reason="length", completion_tokens=4096, reasoning_tokens=4000)
    assert mpal("why").out == (
        "#2 被 max_tokens 截断\n"
        "回答在 4096 个 token 处被截断，其中 4000 个 token 用于推理\n"
        "→ 调大 max_completion_tokens（推理也算在内），或者让模型少思考一些\n"
    )
    assert mpal("why", "1").out.startswith("#1 stop\n已存的内容看不出问题")
    assert "其中 4000 个 token 用于推理" in mpal("show").out
    assert '"the answer was cut at 4096 tokens, and 4000' in mpal("why", "--json").out


def test_reasons_in_chinese(store: Store) -> None:
    """The same rules serve both languages."""
    row = store.add(status_code=401, key_fingerprint="f", error_kind="invalid_authentication_error")
    (found,) = reasons(read_facts(store.engine, exchanges.find(store.engine, id=row)[0]))
    assert found.evidence.said("zh") == "https://api.moonshot.cn 返回 401：它不认识这个 Key"
    assert found.advice.said("zh") == (
        "检查 Key 有没有写错；https://api.moonshot.cn 与 https://api.moonshot.ai 的 Key 互不通用，"
        "试试 --endpoint https://api.moonshot.ai"
    )
