"""`mpal explain`: a model says what went wrong with calls, from a redacted digest of them."""
