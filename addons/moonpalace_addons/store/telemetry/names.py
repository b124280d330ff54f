"""The table of all names that are sent to OpenTelemetry, each once, with where its value comes from.

The names follow the conventions named in `CONVENTIONS`, which are in development: what they rename is changed here, and
nowhere else. A name of an earlier version that receivers still read stands under `also` and has the same value.
`moonpalace.` begins those that the conventions do not have.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from moonpalace_addons.store.fields import FIELDS, Exchange, cost_saved
from moonpalace_addons.store.telemetry import operations, parameters
from moonpalace_addons.store.telemetry.operations import Traits
from moonpalace_addons.store.telemetry.parameters import Parameters

CONVENTIONS = "open-telemetry/semantic-conventions-genai v0.1.0"
SCOPE = "moonpalace"
"""The name of the instrumentation, and of the service unless OTEL_SERVICE_NAME says another."""

type Kind = Literal["text", "texts", "whole", "decimal", "truth"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a span: its name, its meaning, and its value.

    The value comes from one of: `field` of the catalogue of fields, which is stored; `parameter`, a member of the
    request or a function of its members; `value`, a function of the call; or `common`, a function of the traits that
    the call shares with others. `also` are earlier names, and names that some receivers read.
    """

    name: str
    meaning: str
    kind: Kind = "text"
    field: str = ""
    parameter: str | Callable[[Parameters], object] = ""
    value: Callable[[Exchange], object] | None = None
    common: Callable[[Traits], object] | None = None
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names that get the value."""
        return (self.name, *self.also)

    @property
    def column(self) -> str:
        """The attribute of `Exchange` that has the value of the field."""
        return FIELDS[self.field].source

    def of_request(self, members: Parameters) -> object:
        """Return the value from the members of a request; None if the request does not have it."""
        return members.get(self.parameter) if isinstance(self.parameter, str) else self.parameter(members)


ATTRIBUTES: Sequence[Attribute] = (
    Attribute(
        "gen_ai.operation.name",
        "chat, text_completion or embeddings",
        common=lambda traits: traits.operation,
    ),
    Attribute("gen_ai.provider.name", "who serves the API: moonshot_ai …", common=operations.provider),
    Attribute("gen_ai.request.model", "model named in the request", common=lambda traits: traits.model_requested),
    Attribute("gen_ai.response.model", "model named in the response", common=lambda traits: traits.model_answered),
    Attribute("gen_ai.response.id", "ID of the completion, message or response", field="chatcmpl"),
    Attribute("gen_ai.conversation.id", "session of the client", field="session"),
    Attribute(
        "gen_ai.response.finish_reasons",
        "why the model stopped; error for an answer that broke off",
        "texts",
        common=operations.finish_reasons,
    ),
    Attribute("gen_ai.request.stream", "true for a stream", "truth", common=lambda traits: traits.is_stream or None),
    Attribute(
        "gen_ai.response.time_to_first_chunk",
        "seconds to the first token of a stream",
        "decimal",
        value=lambda call: None if call.time_to_first_token is None else call.time_to_first_token / 1e9,
    ),
    Attribute("gen_ai.usage.input_tokens", "prompt tokens, including cached ones", "whole", field="prompt_tokens"),
    Attribute(
        "gen_ai.usage.output_tokens", "completion tokens, including reasoning", "whole", field="completion_tokens"
    ),
    Attribute(
        "gen_ai.usage.cache_read.input_tokens", "prompt tokens that the API had cached", "whole", field="cached_tokens"
    ),
    Attribute(
        "gen_ai.usage.cache_write.input_tokens",
        "prompt tokens that the API wrote to its cache",
        "whole",
        field="cache_write_tokens",
        also=("gen_ai.usage.cache_creation.input_tokens",),
    ),
    Attribute(
        "gen_ai.usage.reasoning.output_tokens",
        "completion tokens spent on reasoning",
        "whole",
        field="reasoning_tokens",
    ),
    Attribute(
        "gen_ai.usage.cost",
        "cost in US dollars; nothing in another currency",
        "decimal",
        value=lambda call: call.cost if call.cost_currency == "USD" else None,
        also=("llm.cost.total",),
    ),
    Attribute("gen_ai.request.temperature", "temperature of the request", "decimal", parameter="temperature"),
    Attribute("gen_ai.request.top_p", "top_p of the request", "decimal", parameter="top_p"),
    Attribute("gen_ai.request.top_k", "top_k of the request", "whole", parameter="top_k"),
    Attribute(
        "gen_ai.request.max_tokens",
        "max_completion_tokens, max_output_tokens or max_tokens of the request",
        "whole",
        parameter=lambda members: parameters.first(members, "max_completion_tokens", "max_output_tokens", "max_tokens"),
    ),
    Attribute(
        "gen_ai.request.frequency_penalty", "frequency_penalty of the request", "decimal", parameter="frequency_penalty"
    ),
    Attribute(
        "gen_ai.request.presence_penalty", "presence_penalty of the request", "decimal", parameter="presence_penalty"
    ),
    Attribute("gen_ai.request.seed", "seed of the request", "whole", parameter="seed"),
    Attribute("gen_ai.request.choice.count", "n of the request, if not 1", "whole", parameter=parameters.choices),
    Attribute(
        "gen_ai.request.stop_sequences",
        "stop or stop_sequences of the request",
        "texts",
        parameter=parameters.stops,
    ),
    Attribute(
        "gen_ai.request.reasoning.level",
        "reasoning_effort of the request, or the effort in its reasoning",
        parameter=parameters.reasoning_level,
    ),
    Attribute(
        "gen_ai.request.previous_response.id",
        "previous_response_id of the request",
        parameter="previous_response_id",
    ),
    Attribute("gen_ai.output.type", "json or text, if the request says so", parameter=parameters.output_type),
    Attribute("gen_ai.embeddings.dimension.count", "dimensions of the request", "whole", parameter="dimensions"),
    Attribute(
        "gen_ai.request.encoding_formats", "encoding_format of the request", "texts", parameter=parameters.formats
    ),
    Attribute(
        "server.address",
        "host of the API, not that of the proxy",
        common=lambda traits: operations.place_of(traits.endpoint).host or None,
    ),
    Attribute(
        "server.port", "port of the API", "whole", common=lambda traits: operations.place_of(traits.endpoint).port
    ),
    Attribute(
        "http.response.status_code",
        "status code of the response",
        "whole",
        common=lambda traits: traits.status_code,
    ),
    Attribute(
        "error.type",
        "kind of the error, or else the status code or the state; nothing for a call that did not fail",
        common=operations.error_type,
    ),
    Attribute("moonpalace.id", "number of the call, for mpal show", "whole", field="id"),
    Attribute("moonpalace.uuid", "ID of the call that is unique across all stores", field="uuid"),
    Attribute("moonpalace.request_id", "request ID in the headers of the response", field="request_id"),
    Attribute("moonpalace.cost", "cost in moonpalace.cost.currency", "decimal", field="cost"),
    Attribute(
        "moonpalace.cost.currency", "currency of the cost: USD, CNY …", common=lambda traits: traits.cost_currency
    ),
    Attribute("moonpalace.cost.saved", "what the cached tokens would have cost more", "decimal", value=cost_saved),
)
"""The attributes of a span, in the order in which they are documented."""

INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
ERROR_MESSAGE = "error.message"
CONTENT: Mapping[str, str] = {
    SYSTEM_INSTRUCTIONS: "system or instructions of the request, as JSON",
    INPUT_MESSAGES: "messages of the request, as JSON",
    OUTPUT_MESSAGES: "messages of the response, as JSON",
    ERROR_MESSAGE: "message of the error",
}
"""The attributes that are only sent with `--otel-content`."""

LABELS = (
    *("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model"),
    *("server.address", "server.port"),
)
"""The attributes of a span that metrics have, too."""
ERROR_TYPE = "error.type"
"""The additional attribute of metrics of durations."""

TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""The bucket boundaries from the conventions."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: a histogram with the boundaries `bounds`, or a sum if there are none.

    The measurement is `field` of the catalogue of fields, divided by `scale`. `extra` is an attribute besides `LABELS`,
    with its value. A metric of inference excludes embeddings.
    """

    name: str
    meaning: str
    field: str
    unit: str = "{token}"
    bounds: tuple[float, ...] = ()
    scale: float = 1
    extra: tuple[str, str] | None = None

    @property
    def is_of_inference(self) -> bool:
        """Return whether it is only defined for generated output."""
        return self.name.startswith("gen_ai.client.inference.")

    @property
    def has_errors(self) -> bool:
        """Return whether failed calls have an attribute for the error."""
        return self.unit == "s"


def by_type(field: str, kind: str) -> Metric:
    """Return a part of the token metric that the conventions had up to version 1.41."""
    meaning = "tokens of a call, by gen_ai.token.type: input or output"
    return Metric("gen_ai.client.token.usage", meaning, field, bounds=TOKENS, extra=("gen_ai.token.type", kind))


def each(name: str, meaning: str, field: str) -> Metric:
    """Return the distribution of tokens over calls."""
    return Metric(f"gen_ai.client.inference.operation.{name}", meaning, field, bounds=TOKENS)


def total(name: str, meaning: str, field: str) -> Metric:
    """Return the sum of tokens, without their modality, which the API does not report."""
    extra = ("gen_ai.token.modality", "unknown")
    return Metric(f"gen_ai.client.inference.usage.{name}", meaning, field, extra=extra)


METRICS: Sequence[Metric] = (
    Metric("gen_ai.client.operation.duration", "duration of a call", "latency", "s", SECONDS, 1e9),
    Metric("gen_ai.client.inference.duration", "the same, without embeddings", "latency", "s", SECONDS, 1e9),
    by_type("prompt_tokens", "input"),
    by_type("completion_tokens", "output"),
    each("input_tokens", "prompt tokens of a call", "prompt_tokens"),
    each("output_tokens", "completion tokens of a call", "completion_tokens"),
    total("input_tokens", "prompt tokens, including cached ones", "prompt_tokens"),
    total("output_tokens", "completion tokens, including reasoning", "completion_tokens"),
    total("cache_read.input_tokens", "prompt tokens that the API had cached", "cached_tokens"),
    total("cache_write.input_tokens", "prompt tokens that the API wrote to its cache", "cache_write_tokens"),
    total("reasoning.output_tokens", "completion tokens spent on reasoning", "reasoning_tokens"),
)
"""The metrics, in the order in which they are documented: histograms in `s` and `{token}`, then sums."""
