"""Requests to other servers: HTTP over verified TLS, through the proxy from the environment."""
