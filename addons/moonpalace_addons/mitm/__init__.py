"""All that touches mitmproxy's internals, so that a new version of mitmproxy is checked in one place."""
