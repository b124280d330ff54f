"""The metrics of calls."""

from collections.abc import Mapping

from moonpalace_addons.store.state import State
from moonpalace_addons.store.telemetry import measures as measures_module
from moonpalace_addons.store.telemetry.measures import Measures, Series
from moonpalace_addons.store.telemetry.spans import span_of
from tests.exchanges import an_exchange


def measured(*changes: Mapping[str, object]) -> Measures:
    """Return measurements of calls."""
    measures = Measures()
    for each in changes:
        call = an_exchange(**each)  # type: ignore[arg-type]
        span = span_of(call, {})
        assert span is not None
        measures.add(call, span.common)
    return measures


def named(measures: Measures, name: str) -> list[tuple[dict[str, object], Series]]:
    """Return the series of a metric."""
    return [(dict(attributes), series) for metric, attributes, series in measures if metric.name == name]


def test_tokens_and_durations() -> None:
    """Calls with the same attributes are summed; a bucket includes its upper bound."""
    measures = measured({"prompt_tokens": 4, "latency": 20_000_000}, {"prompt_tokens": 5, "latency": 3 * 10**9})
    (inputs, tokens), (outputs, _) = named(measures, "gen_ai.client.token.usage")
    assert (inputs["gen_ai.token.type"], outputs["gen_ai.token.type"]) == ("input", "output")
    assert inputs.keys() - {"gen_ai.token.type"} == {
        *("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model"),
        *("server.address", "server.port"),
    }
    assert (tokens.count, tokens.sum, tokens.least, tokens.most) == (2, 9, 4, 5)
    assert tokens.counts[:4] == [0, 1, 1, 0]
    ((_, seconds),) = named(measures, "gen_ai.client.operation.duration")
    assert (seconds.sum, seconds.counts[1], seconds.counts[9]) == (3.02, 1, 1)
    ((_, total),) = named(measures, "gen_ai.client.inference.usage.input_tokens")
    assert total.sum == 9


def test_failed_calls_are_told_apart() -> None:
    """The duration of a failed call has its reason; unknown tokens are not counted."""
    failed = {
        "state": State.TIMED_OUT,
        "error_kind": "upstream_timeout",
        "prompt_tokens": None,
        "completion_tokens": None,
    }
    measures = measured({}, failed)
    errors = [attributes.get("error.type") for attributes, _ in named(measures, "gen_ai.client.operation.duration")]
    assert errors == [None, "upstream_timeout"]
    assert [series.count for _, series in named(measures, "gen_ai.client.token.usage")] == [1, 1]


def test_embeddings_are_no_inference() -> None:
    """They have a duration and tokens, but not the metrics of generated output."""
    names = {metric.name for metric, _, _ in measured({"path": "/v1/embeddings", "completion_tokens": None})}
    assert names == {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"}


def test_the_number_of_series_is_bounded() -> None:
    """Clients choose the names of models: those beyond the limit form one series."""
    limit = measures_module.MAX_SERIES
    measures = measured(*({"model_requested": f"m{number}"} for number in range(limit + 5)))
    result = named(measures, "gen_ai.client.operation.duration")
    assert len(result) == limit + 1
    assert result[-1][0] == {"otel.metric.overflow": True}
    assert result[-1][1].count == 5
    measures.clear()
    assert not list(measures)
