"""Store the headers and bodies of calls as pieces, before the rows that refer to them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from moonpalace_addons.store.parts import cut
from moonpalace_addons.store.records import parts
from moonpalace_addons.store.records.body_text import Side
from moonpalace_addons.store.records.request_headers import shared_form
from moonpalace_addons.store.records.values import Values


def keep(
    connection: Connection, rows: Mapping[str, Values], bodies: Sequence[tuple[str, Side, bytes]] = ()
) -> dict[str, Values]:
    """Store the headers of new rows, and bodies; return the columns to be written for them. All by uuid.

    What goes into a transaction has to come in one call: pieces are added in an order that keeps PostgreSQL's writers
    from waiting for one another.
    """
    forms = {uuid: form for uuid, row in rows.items() if (form := shared_form(row)) is not None}
    ids = parts.keep_pieces(connection, [*([form] for form in forms.values()), *(cut(body) for *_, body in bodies)])
    columns: dict[str, Values] = {
        uuid: {"request_headers": row["request_headers"], "request_headers_part": None} for uuid, row in rows.items()
    }
    for uuid, (part_id,) in zip(forms, ids, strict=False):
        columns[uuid] = {"request_headers": None, "request_headers_part": part_id}
    for (uuid, side, _), listed in zip(bodies, ids[len(forms) :], strict=True):
        columns.setdefault(uuid, {})[f"{side}_parts"] = parts.as_column(listed)
    return columns
