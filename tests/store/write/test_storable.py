"""Tests of preparing columns for the database."""

from sqlalchemy import Engine, String

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import contents, exchanges
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write.storable import TRUSTED_COLUMNS, storable
from tests.batches import Batch
from tests.tables import for_each
from tests.tasks import ended, request_read, response_started

KEY = b"sk-0123456789"


@for_each(
    ("given", "stored"),
    [
        ("plain", "plain"),
        ("你好 🚀", "你好 🚀"),
        ("a\x00b", "a\\x00b"),
        ("half \ud83d pair", "half \\ud83d pair"),
        ("byte \udcff", "byte \\udcff"),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (-(2**63), None),
        (10**300, None),
        (True, True),
        (1.5, 1.5),
        (None, None),
        (State.COMPLETED, State.COMPLETED),
    ],
)
def test_what_no_database_takes_becomes_harmless(given: object, stored: object) -> None:
    """Half surrogate pairs and NUL are escaped, integers past 64 bits dropped, everything else is kept."""
    columns: dict[str, object] = {"model_answered": given}
    assert storable(columns) == {"model_answered": stored}
    assert columns == {"model_answered": given}


FREE = {column.name for column in EXCHANGES.c if isinstance(column.type, String)} - TRUSTED_COLUMNS


@for_each("name", sorted(FREE - {"endpoint"}))
def test_secrets_are_masked_in_free_text(name: str) -> None:
    """A secret in a column that comes from a client or upstream is masked."""
    assert storable({name: "it is sk-0123456789!"}, (KEY,)) == {name: "it is *************!"}


def test_our_own_columns_are_not_masked() -> None:
    """A credential that equals one of our own words does not break the row."""
    columns: dict[str, object] = {"state": "completed", "uuid": "11111111", "endpoint": "https://api.moonshot.cn"}
    assert storable(columns, (b"completed", b"11111111", b"https://api")) == columns


ODD = "NUL \x00, half \ud83d pair, byte \udcff, tab \t, backslash \\x00 \\u0000, quote \" ' $1 %s, 你好 🚀 \u2028"
ODD_STORED = (
    "NUL \\x00, half \\ud83d pair, byte \\udcff, tab \t, backslash \\x00 \\u0000, quote \" ' $1 %s, 你好 🚀 \u2028"
)


def test_a_database_takes_whatever_clients_and_upstream_send(engine: Engine, run_id: str) -> None:
    """Odd texts and numbers in every field that others fill are stored, at a call's beginning and end."""
    body = (
        b'{"model": "NUL \\u0000 \\ud83d", "usage": {"prompt_tokens": 1'
        + b"0" * 40
        + b'}, "choices": [1e999, NaN]}\xff\x00'
    )
    headers = f"X-Odd: {ODD}\r\nServer-Timing: inner; dur=999999999999999999\r\n"
    call = request_read(
        body=body,
        path=ODD,
        query=ODD,
        headers=headers,
        content_type=ODD,
        client_request_id=ODD,
        method=ODD,
        changes=(ODD,),
    )
    answer = response_started(call, [body[:-2], body[-2:]], headers=headers + f"Msh-Request-Id: {ODD}\r\n")
    end = ended(call, error_kind=ODD, error_message=ODD, warnings=(ODD,), at=10**30, state=State.UPSTREAM_FAILED)
    batch = Batch(run_id, b"k" * 32)
    for tasks in ([call], [answer], [end]):
        batch.plan(tasks, keep=True)
        with writing(engine) as connection:
            batch.store(connection)
        batch.stored()
    (row,) = exchanges.latest(engine, limit=9)
    assert [row] == [call for call, *_ in batch.finished()]
    assert {row.path, row.request_content_type, row.client_request_id, row.error_kind, row.method} == {ODD_STORED}
    assert ODD_STORED in row.request_headers
    assert (row.msh_request_id, row.latency, row.server_timing) == (ODD_STORED, None, 999999999999999999)
    kept = contents.bodies(engine, row.id)
    assert (kept.request, kept.response) == (body, body)
