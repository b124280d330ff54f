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
    columns: dict[str, Values] = {
        uuid: {"response_headers": row.get("response_headers")} | response_headers.UNSHARED
        for uuid, row in answers.items()
    }
    for uuid, row in rows.items():
        columns[uuid] |= {"request_headers": row["request_headers"], "request_headers_part": None}
    for uuid in request_forms:
        columns[uuid] |= {"request_headers": None, "request_headers_part": next(ids)[0]}
    for uuid, answer in response_forms.items():
        response_columns: Values = {"response_headers_part": next(ids)[0], "response_date": answer.date}
        columns[uuid] |= {"response_headers": None} | response_columns
    for uuid, side, _ in bodies:
        columns.setdefault(uuid, {})[f"{side}_parts"] = parts.as_column(next(ids))
    return columns
