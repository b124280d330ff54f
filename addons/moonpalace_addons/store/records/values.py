"""Values on their way into a row."""

type Values = dict[str, object]

MAX_INT64 = 2**63 - 1
"""The greatest integer that a database holds."""
