"""Reports of calls: their content, their receivers, and their state."""
