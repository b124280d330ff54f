"""The overview of calls: its numbers, its bars, and its links."""

import re
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import httpx
import pytest

from moonpalace_cli.views.listing.over_time import OverTime, Period, over_time
from moonpalace_cli.views.listing.periods import MICROSECONDS, WIDTHS
from moonpalace_cli.views.listing.stats import Group
from moonpalace_cli.web.charts import Chart, charts, ticks
from moonpalace_cli.web.pages import overview_page
from moonpalace_cli.web.pages.overview_page import Narrowing, model_predicate, period_predicate
from moonpalace_cli.web.sums import Named, lines
from tests.cli.conftest import Store
from tests.cli.web import samples

JSON = {"Accept": "application/json"}
MS = 10**6
NINE = datetime.fromisoformat("2026-11-30T09:00:10+08:00")
BAR = re.compile(r'<a href="([^"]+)" tabindex="-1"><title>([^<]+)</title>')


def calls(query: str, client: httpx.Client) -> list[int]:
    """Return the ids of the calls at an address of the list."""
    return [call["id"] for call in client.get(query, headers=JSON).json()["calls"]]


def test_bars_lead_to_their_calls(store: Store, client: httpx.Client) -> None:
    """Each bar has a description, and links to exactly its calls."""
    first = samples.plain(store.add, started_at=NINE)
    second = samples.refused(store.add, started_at=NINE + timedelta(minutes=2))
    page = client.get("/overview")
    bars = [(unescape(address), unescape(label)) for address, label in BAR.findall(page.text)]
    assert [label for _, label in bars[:2]] == [
        "2026-11-30 09:00 · calls 1 · errors 0", "2026-11-30 09:02 · calls 1 · errors 1",
    ]  # fmt: skip
    assert [calls(address, client) for address, _ in bars[:2]] == [[first], [second]]
    assert "kimi-k2.6" in page.text


def test_a_filter_narrows_it(store: Store, client: httpx.Client) -> None:
    """Only calls that match the filter count, and bars only link to such calls, whatever the filter's operators."""
    samples.plain(store.add, started_at=NINE)
    failed = samples.refused(store.add, started_at=NINE)
    query = {"q": "status == 429 || status == 500"}
    page = client.get("/overview", params=query).text
    ((address, label), *_) = BAR.findall(page)
    assert label == "2026-11-30 09:00 · calls 1 · errors 1"
    assert calls(unescape(address), client) == [failed]
    assert 'href="/?q=status+%3D%3D+429' in page
    document = client.get("/overview", params=query, headers=JSON).json()
    assert (document["calls"], document["errors"], [model["model"] for model in document["models"]]) == (
        1,
        1,
        ["kimi-k2.6"],
    )


def test_numbers_for_programs(store: Store, client: httpx.Client) -> None:
    """The JSON is that of `mpal list --stats`, with the same numbers for each period, and the address of its calls."""
    samples.plain(store.add, started_at=NINE)
    samples.tool_use(store.add, started_at=NINE + timedelta(hours=3))
    document = client.get("/overview", headers=JSON).json()
    assert (document["calls"], document["width"], len(document["periods"])) == (2, "5 minutes", 37)
    first, *_, last = document["periods"]
    assert (first["start"], first["end"]) == ("2026-11-30T09:00:00+08:00", "2026-11-30T09:05:00+08:00")
    assert (first["prompt_tokens"], first["costs"], first["latency_ms"]["p99"]) == (2204, {"USD": 0.0113}, 6000.0)
    assert calls(last["address"], client) == [2]
    assert sum(each["prompt_tokens"] for each in document["periods"]) == document["prompt_tokens"]


def test_without_calls(store: Store, client: httpx.Client) -> None:
    """An empty store, a filter without matches, and an invalid one are not errors of the page."""
    assert "No call is stored yet" in client.get("/overview").text
    samples.plain(store.add)
    assert "No call matches the filter" in client.get("/overview", params={"q": "id < 0"}).text
    wrong = client.get("/overview", params={"q": "status >> 1"})
    assert wrong.status_code == 400
    assert 'id="mistake"' in wrong.text
    assert client.get("/overview", params={"q": "id < 0"}, headers=JSON).json()["periods"] == []
    assert client.get("/overview", params={"q": "status >> 1"}, headers=JSON).json()["error"]["position"] == 8


def test_chinese_and_keys(store: Store, client: httpx.Client) -> None:
    """The page is in the browser's language; a link from a filtered list keeps the filter."""
    samples.plain(store.add, started_at=NINE)
    page = client.get("/overview", headers={"Accept-Language": "zh"}).text
    assert "每根柱子为 1 分钟" in page
    assert "调用次数 1 · 错误 0" in page
    assert 'id="overview" href="/overview?q=id+%3E+0"' in client.get("/", params={"q": "id > 0"}).text


def test_many_models(store: Store, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many models those with the most calls have a line, and the page says how many others there are."""
    monkeypatch.setattr(overview_page, "MAX_MODELS", 1)
    for model in ("a", "b", "b"):
        samples.plain(store.add, model_answered=model)
    page = client.get("/overview").text
    assert "<bdi>b</bdi></a></th>" in page
    assert "<bdi>a</bdi></a></th>" not in page
    assert "and 1 more" in page


def test_hostile_names(store: Store, client: httpx.Client) -> None:
    """A call's own data is text, in the page and in the predicates of its links."""
    row_id = samples.hostile(store.add, started_at=NINE)
    page = client.get("/overview").text
    assert "<script>window" not in page
    assert "<img src=x" not in page
    address = Narrowing("").address(model_predicate(samples.HOSTILE))
    assert f'<a href="{address}">' in page
    assert calls(address, client) == [row_id]


def measured(**changes: Any) -> OverTime:
    """Return the sums of two calls, a minute apart; `changes` apply to the second."""
    values: dict[str, Any] = {
        "model": "m", "state": "completed", "status": 200, "kind": None, "prompt": 100, "completion": 40, "total": 140,
        "cached": 25, "reasoning": 0, "ttft": 10 * MS, "tpot": MS, "latency": 100 * MS, "cost": 0.5, "currency": "CNY",
        "at": int(NINE.timestamp()) * MICROSECONDS,
    }  # fmt: skip
    later = values | {"at": values["at"] + 60 * MICROSECONDS} | changes
    return over_time([[tuple(values.values()), tuple(later.values())]])


def drawn(found: OverTime) -> dict[str, Chart]:
    """Return the charts by name and remark."""
    (whole,) = found.models.values()
    return {f"{each.name} {each.remark}".strip(): each for each in charts(found, whole, period_predicate)}


def parts(chart: Chart) -> list[list[tuple[str, float, float]]]:
    """Return the parts of each bar."""
    return [[(part.style, part.top, part.height) for part in bar.parts] for bar in chart.bars]


def test_charts() -> None:
    """Bars start at the bottom, their parts are stacked, and the highest reaches the top."""
    result = drawn(measured(status=500, prompt=300, cached=225, completion=60))
    assert parts(result["calls"]) == [[("in", 0.0, 100.0)], [("bad", 0.0, 100.0)]]
    tokens = parts(result["tokens"])
    assert tokens[1] == [("cached", 37.5, 62.5), ("in", 16.67, 20.83), ("out", 0.0, 16.67)]
    assert [height for _, _, height in tokens[0]] == [6.94, 20.83, 11.11]
    assert parts(result["cached input"]) == [[("cached", 75.0, 25.0)], [("cached", 25.0, 75.0)]]
    assert result["tokens"].bars[1].values == [("cached input", "225"), ("other input", "75"), ("output", "60")]
    assert (result["cost CNY"].top, result["total"].top) == ("¥0.50", "100ms")
    assert list(result) == ["calls", "tokens", "cost CNY", "cached input", "first token", "total"]


def test_charts_of_little() -> None:
    """Unknown values have no chart, and small ones are visible; more cached tokens than sent count as all of them."""
    result = drawn(measured(cost=0.0001, ttft=1, cached=10**6))
    assert parts(result["cost CNY"])[1] == [("in", 98.5, 1.5)]
    assert parts(result["cached input"])[1] == [("cached", 0.0, 100.0)]
    nothing = dict.fromkeys(("prompt", "completion", "total", "cached", "ttft", "latency", "cost", "currency"))
    group = measured(**nothing).periods[1].group
    assert [each.name for each in charts(measured(), group, period_predicate)] == ["calls"]


def test_ticks() -> None:
    """The first period is labelled, and at most a few others, far enough apart to be readable."""
    assert [(tick.place, tick.text) for tick in ticks(measured())] == [(0.0, "11-30 09:00")]
    days = OverTime(WIDTHS[3], [Period(hour * 3600 * MICROSECONDS, 0, Group()) for hour in range(60)], {})
    assert [(tick.place, tick.text) for tick in ticks(days)] == [
        (0.0, "01-01 08:00"), (25.0, "01-01 23:00"), (50.0, "01-02 14:00"), (75.0, "01-03 05:00"),
    ]  # fmt: skip
    assert ticks(OverTime(WIDTHS[-1], [Period(0, 1, Group())], {}))[0].text == "1970-01"


def test_lines() -> None:
    """A line has the sums in words, and bars that compare it to the others; failures link to their calls."""
    (whole,) = measured(status=500).models.values()
    one, other = lines([Named("a", whole, "/a", "/failed"), Named("b", Group(calls=1), "/b", "")])
    assert [cell.text for cell in one.cells] == [
        "2", "1", "200", "25 %", "80", "¥1.00", "10ms / 10ms / 10ms", "100ms / 100ms / 100ms",
    ]  # fmt: skip
    assert [(cell.share, cell.address) for cell in one.cells[:4]] == [
        (1.0, ""),
        (0.5, "/failed"),
        (1.0, ""),
        (0.25, ""),
    ]
    assert [cell.text for cell in other.cells] == ["1", "0", "0", "", "0", "", "", ""]
    assert other.cells[0].share == pytest.approx(0.5)


def test_predicates() -> None:
    """A period has its time zone, so that an address means the same elsewhere."""
    start = int(NINE.timestamp() // 60 * 60) * MICROSECONDS
    period = Period(start, start + 60 * MICROSECONDS, Group())
    expected = "requested_at >= '2026-11-30T09:00+08:00' && requested_at < '2026-11-30T09:01+08:00'"
    assert period_predicate(period) == expected
    assert (model_predicate(None), model_predicate("it's")) == ("!model", r"model == 'it\'s'")
