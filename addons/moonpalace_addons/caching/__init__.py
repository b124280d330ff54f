"""Context caches at the API: selection for a call, creation, renewal and deletion."""
