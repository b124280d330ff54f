"""Views of `mpal inspect`."""
