"""Look at every text of a call, to replace what must not be passed on or to tell where it stands."""
