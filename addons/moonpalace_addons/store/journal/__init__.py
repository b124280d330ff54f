"""The journal: the file beside the database that holds what the store does not take, until it does."""
