"""The identity of a store."""

from sqlalchemy import Connection, select

from moonpalace_addons.store.schema import IDENTITY


def fingerprint_key(connection: Connection) -> bytes:
    """Return the key for this store's fingerprints of API keys."""
    key: bytes = connection.execute(select(IDENTITY.c.fingerprint_key)).scalar_one()
    return key
