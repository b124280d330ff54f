"""Explanations of cache hits and misses."""
