"""Views of calls and of the store."""
