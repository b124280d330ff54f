"""Store the headers and bodies of calls as pieces, before the rows that refer to them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from moonpalace_addons.store.records import parts, request_headers, response_headers
from moonpalace_addons.store.records.body_text import Side
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.write.resent import piece

NO_ROWS: Mapping[str, Values] = {}


def keep(
    connection: Connection,
    rows: Mapping[str, Values],
    bodies: Sequence[tuple[str, Side, bytes]] = (),
    *,
    answered: Mapping[str, Values] = NO_ROWS,
) -> dict[str, Values]:
    """Store the headers of new rows, those of the answers to others, and bodies; return the columns to be written.

    All by uuid. What goes into a transaction has to come in one call: pieces are added in an order that keeps
    PostgreSQL's writers from waiting for one another.
    """
    answers = {**rows, **answered}
    asked = {uuid: form for uuid, row in rows.items() if (form := request_headers.shared_form(row)) is not None}
    said = {uuid: told for uuid, row in answers.items() if (told := response_headers.shared_form(row)) is not None}
    headers = [[piece(text)] for text in (*asked.values(), *(told.piece for told in said.values()))]
    cuts = [parts.RECENT.pieces(body) for *_, body in bodies]
    ids = iter(parts.keep_pieces(connection, [*headers, *cuts]))
    columns: dict[str, Values] = {
        uuid: {"response_headers": row.get("response_headers")} | response_headers.UNSHARED
        for uuid, row in answers.items()
    }
    for uuid, row in rows.items():
        columns[uuid] |= {"request_headers": row["request_headers"], "request_headers_part": None}
    for uuid in asked:
        columns[uuid] |= {"request_headers": None, "request_headers_part": next(ids)[0]}
    for uuid, answer in said.items():
        found: Values = {"response_headers_part": next(ids)[0], "response_date": answer.date}
        columns[uuid] |= {"response_headers": None} | found
    for uuid, side, _ in bodies:
        columns.setdefault(uuid, {})[f"{side}_parts"] = parts.as_column(next(ids))
    return columns
