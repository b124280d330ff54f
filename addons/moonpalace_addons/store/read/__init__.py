"""Queries that only read calls."""
