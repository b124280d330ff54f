"""A stored call read whole, and what users see of it."""
