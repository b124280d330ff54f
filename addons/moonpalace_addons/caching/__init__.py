"""Context caches at the API: which one a call uses, and their life from creation to deletion."""
