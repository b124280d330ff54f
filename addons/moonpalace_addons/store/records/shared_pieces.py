"""Store the headers and bodies of calls as pieces, before the rows that refer to them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from moonpalace_addons.store.records import parts, request_headers, response_headers
from moonpalace_addons.store.records.body_text import Side
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.write.resent import Piece, piece

NO_ROWS: Mapping[str, Values] = {}


def keep(
    connection: Connection,
    rows: Mapping[str, Values],
    bodies: Sequence[tuple[str, Side, Sequence[Piece]]] = (),
    *,
    answered: Mapping[str, Values] = NO_ROWS,
) -> dict[str, Values]:
    """Store the headers of new rows, the answer headers of other rows, and bodies; return the columns to write by uuid.

    Call it once per transaction: pieces are added in an order that keeps PostgreSQL's writers from deadlocking.
    """
    answers = {**rows, **answered}
    request_forms = {
        uuid: shared for uuid, row in rows.items() if (shared := request_headers.shared_form(row)) is not None
    }
    response_forms = {
        uuid: form for uuid, row in answers.items() if (form := response_headers.shared_form(row)) is not None
    }
    headers = [[piece(text)] for text in (*request_forms.values(), *(form.piece for form in response_forms.values()))]
    ids = iter(parts.keep_pieces(connection, [*headers, *(pieces for *_, pieces in bodies)]))
    columns: dict[str, Values] = {uuid: {} for uuid in answers}
    for uuid, row in rows.items():
        is_shared = uuid in request_forms
        columns[uuid]["request_headers"] = None if is_shared else row["request_headers"]
        columns[uuid]["request_headers_part"] = next(ids)[0] if is_shared else None
    for uuid, row in answers.items():
        form = response_forms.get(uuid)
        columns[uuid]["response_headers"] = row.get("response_headers") if form is None else None
        columns[uuid]["response_headers_part"] = None if form is None else next(ids)[0]
        columns[uuid]["response_date"] = None if form is None else form.date
    for uuid, side, _ in bodies:
        columns.setdefault(uuid, {})[f"{side}_parts"] = parts.as_column(next(ids))
    return columns
