"""Calls in progress: their state, streams, failures and ends."""
