"""Values of rows to be written."""

type Values = dict[str, object]

MAX_INT64 = 2**63 - 1
"""The greatest integer that both databases can store."""
