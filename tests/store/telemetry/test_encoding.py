"""Spans in protobuf, read back by OpenTelemetry's own classes."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from moonpalace_addons.store.telemetry import encoding
from moonpalace_addons.store.telemetry.spans import Attribute, CallSpan, Common
from moonpalace_addons.wire.trace_context import TraceContext
from tests.otlp_receiver import attributes

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
VALUES = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(TEXTS, min_size=1, max_size=3).map(tuple),
)
PARENTS = st.builds(TraceContext, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255), TEXTS)
TIMES = st.integers(0, 2**63)


@given(
    st.dictionaries(TEXTS, VALUES, max_size=6),
    st.dictionaries(TEXTS, VALUES, max_size=6),
    st.none() | PARENTS,
    TEXTS,
    st.none() | TEXTS,
    st.tuples(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), TIMES, TIMES),
)
def test_what_is_written_is_read(
    said: dict[str, Attribute],
    own: dict[str, Attribute],
    parent: TraceContext | None,
    name: str,
    problem: str | None,
    numbers: tuple[int, int, int, int],
) -> None:
    """All values of a span are read back unchanged, twice in one request."""
    trace, span_id, began, ended = numbers
    common = Common(name, {key: value for key, value in said.items() if key not in own})
    encoded = encoding.span(CallSpan(common, trace, span_id, parent, began, ended, own, problem))
    data = encoding.request({"service.name": "x", "n": 1}, ("scope", "1.0"), [encoded, encoded])
    (resource,) = ExportTraceServiceRequest.FromString(data).resource_spans
    assert attributes(list(resource.resource.attributes)) == {"service.name": "x", "n": 1}
    (scoped,) = resource.scope_spans
    assert (scoped.scope.name, scoped.scope.version, len(scoped.spans)) == ("scope", "1.0", 2)
    for span in scoped.spans:
        told = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in attributes(list(span.attributes)).items()
        }
        assert told == said | own
        assert (span.name, span.kind, span.start_time_unix_nano, span.end_time_unix_nano) == (name, 3, began, ended)
        assert (int.from_bytes(span.trace_id), int.from_bytes(span.span_id)) == (trace, span_id)
        assert int.from_bytes(span.parent_span_id) == (parent.span_id if parent else 0)
        assert span.trace_state == (parent.state if parent else "")
        assert (span.status.code, span.status.message) == ((0, "") if problem is None else (2, problem))
        assert span.flags == (0x300 if parent else 0x100)
