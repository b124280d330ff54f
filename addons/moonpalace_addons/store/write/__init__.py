"""From what the proxy tells of calls to rows: the writer and what it works with."""
