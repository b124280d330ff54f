"""A server that behaves like the Kimi API, and badly on request."""
