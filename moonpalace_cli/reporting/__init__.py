"""Reports of calls on their way: what is sent, to whom, and what became of it."""
