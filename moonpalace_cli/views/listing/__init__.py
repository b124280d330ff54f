"""What `mpal list` shows: tables of calls, their columns, sums, and calls as they end."""
