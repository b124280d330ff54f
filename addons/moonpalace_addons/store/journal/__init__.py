"""The journal: a file next to the database for calls that the store does not accept at present."""
