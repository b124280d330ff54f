"""The revision of the schema that this version reads and writes."""

from pathlib import Path

REVISION = max(file.name for file in (Path(__file__).parent / "migrations" / "versions").glob("0*.py"))[:4]
"""The newest migration; `store.database.opening` upgrades what is older and refuses what is newer."""
