"""`mpal show` and `mpal why`: one call on one screen, and why it ended as it did."""
