"""Maintain a store: retention, clean-up, word index, health checks, secret scan."""
