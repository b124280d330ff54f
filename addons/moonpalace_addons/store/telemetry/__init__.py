"""Calls as OpenTelemetry spans and metrics, sent to a receiver by OTLP over HTTP.

`names.py` is the table of all names that are sent. Only `sending.py`, `points.py` and `connection.py` import
OpenTelemetry, which is an extra.
"""
