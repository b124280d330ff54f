"""Chat completions as bytes and values: events, deltas, merging, timing, edits of requests and streams."""
