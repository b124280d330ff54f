"""A stored call read whole, and its representation for users."""
