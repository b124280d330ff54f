"""The table of names, compared with the catalogue of fields and the installed conventions."""

from collections import Counter

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes

from moonpalace_addons.store.fields import FIELDS
from moonpalace_addons.store.telemetry import parameters
from moonpalace_addons.store.telemetry.names import ATTRIBUTES, CONTENT, LABELS, METRICS, Attribute

NEW_NAMES = {
    "gen_ai.request.reasoning.level",
    "gen_ai.request.previous_response.id",
    "gen_ai.usage.cache_write.input_tokens",
}
"""Attributes of v0.1.0 that the package of the earlier conventions does not have."""
OTHERS = {"gen_ai.usage.cost", "llm.cost.total", "error.message"}
"""Names outside the conventions that several receivers read."""


def installed(*modules: object) -> set[str]:
    """Return the names that modules of the package define."""
    values = [value for module in modules for value in vars(module).values()]
    return {value for value in values if isinstance(value, str) and "." in value}


def test_names_are_those_of_the_conventions() -> None:
    """Each name is in the package, or listed here because it is newer or not part of the conventions."""
    names = {name for each in ATTRIBUTES for name in (each.name, *each.also)} | CONTENT.keys()
    known = installed(gen_ai_attributes, error_attributes, http_attributes, server_attributes)
    assert {name for name in names - known if not name.startswith("moonpalace.")} == NEW_NAMES | OTHERS


def test_names_of_metrics_are_those_of_the_conventions() -> None:
    """A metric is in the package, or one of inference, which v0.1.0 defines."""
    names = {metric.name for metric in METRICS}
    left = names - installed(gen_ai_metrics)
    assert {"gen_ai.client.token.usage", "gen_ai.client.operation.duration"} == names - left
    assert all(name.startswith("gen_ai.client.inference.") for name in left)


def test_each_name_is_there_once() -> None:
    """No attribute overwrites another."""
    names = Counter(name for each in ATTRIBUTES for name in (each.name, *each.also))
    assert names.most_common(1)[0][1] == 1
    assert set(LABELS) <= set(names)


@pytest.mark.parametrize("each", ATTRIBUTES, ids=lambda each: each.name)
def test_each_value_has_one_source(each: Attribute) -> None:
    """It is a stored field of the catalogue, a member of the request, or derived from them."""
    assert [bool(each.field), bool(each.parameter), bool(each.value), bool(each.common)].count(True) == 1
    assert not each.field or FIELDS[each.field].value is None
    assert not isinstance(each.parameter, str) or not each.parameter or each.parameter in parameters.MEMBERS


def test_each_metric_has_a_field() -> None:
    """Each measurement is in the catalogue, and bucket bounds increase."""
    for metric in METRICS:
        assert metric.field in FIELDS
        assert list(metric.bounds) == sorted(set(metric.bounds))
