"""Flags shared by commands: their parsing and shell completion."""
