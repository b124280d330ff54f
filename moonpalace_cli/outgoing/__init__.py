"""Requests to other servers: HTTP over verified TLS, by way of the proxy that the environment names."""
