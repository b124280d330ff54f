"""Detect that a text has run into a loop."""
