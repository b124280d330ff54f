"""What tells this store from others."""

from sqlalchemy import Connection, select

from moonpalace_addons.store.schema import IDENTITY


def fingerprint_key(connection: Connection) -> bytes:
    """Return the key that this store's fingerprints of API keys are made with."""
    key: bytes = connection.execute(select(IDENTITY.c.fingerprint_key)).scalar_one()
    return key
