"""Why a prompt was or was not taken from the cache."""
