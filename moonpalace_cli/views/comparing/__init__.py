"""The comparison of two calls."""
