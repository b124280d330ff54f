"""A mock of the Kimi API that can also misbehave on request."""
