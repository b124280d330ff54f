"""The output of `mpal list`: tables of calls, columns, statistics, and calls as they end."""
