"""Check a model's answer, and store a complete explanation with its calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.store.records import explanations
from moonpalace_addons.store.records.exchanges import Exchange, own_exchange
from moonpalace_addons.store.records.explanations import Explanation
from moonpalace_addons.store.write import own_calls
from moonpalace_addons.store.write.storable import escaped
from moonpalace_addons.views.conversation import conversation
from moonpalace_addons.wire.json_value import parse
from moonpalace_cli.explaining.asking import NOTHING_KEPT, Asking, AskingError
from moonpalace_cli.explaining.target import KEY_VARIABLE

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.wire.prices import PriceRule
    from moonpalace_cli.explaining.record import Subject

PURPOSE = "explain"
ADVICE: Mapping[int, str] = {
    401: f"check the key: {KEY_VARIABLE}, --key, or explain.key in config.yaml",
    403: "the key must not use this model: name another one with --via-model, or explain.model in config.yaml",
    404: "check the endpoint (--via) and the model (--via-model), or explain: in config.yaml",
    413: "lower explain.tokens in config.yaml",
}


def keep(engine: Engine, asking: Asking, subject: Subject, prices: Sequence[PriceRule]) -> tuple[Explanation, Exchange]:
    """Store a finished request, and the explanation with its calls, in one transaction; return both.

    Raise AskingError, and store nothing, if the answer is not a complete explanation.
    """
    with engine.connect() as connection:
        unit = own_calls.to_unit(connection, asking.tasks, PURPOSE, Pricing(prices))
    text = explanation_in(asking, own_exchange(unit.columns, 0), unit.response_body)
    explanation = Explanation(
        call_uuid=unit.uuid,
        created_at=datetime.now(UTC),
        endpoint=asking.target.endpoint.url,
        model=asking.target.model,
        language=subject.language,
        question=subject.question,
        calls=len(subject.ids),
        text=escaped(text),
    )
    with writing(engine) as connection:
        row_id = own_calls.store(connection, unit)
        explanations.keep(connection, subject.ids, explanation)
    return explanation, own_exchange(unit.columns, row_id)


def explanation_in(asking: Asking, call: Exchange, body: bytes | None) -> str:
    """Return the text of an answer; raise AskingError if it is an error, incomplete, or without text."""
    ended = outcome(call)
    if ended.style != "good" or not 200 <= (call.status_code or 0) < 300:
        message = f": {call.error_message}" if call.error_message else ""
        hint = ADVICE.get(call.status_code or 0)
        advice = f"; {hint}" if hint else ""
        raise AskingError(f"{asking.target} gave no explanation ({ended.text}){message}{advice}; {NOTHING_KEPT}")
    turns = conversation(call.path, None, parse(body or b"")).answer_turns
    text = "".join(part.text for turn in turns[:1] for part in turn.parts if part.kind == "text").strip()
    if not text:
        raise AskingError(f"{asking.target} answered without a text; {NOTHING_KEPT}")
    return text
