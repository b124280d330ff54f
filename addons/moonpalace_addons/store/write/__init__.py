"""The writer: from the proxy's tasks to rows."""
