"""An HTTP/1.1 server of our own inside mitmproxy: it makes mitmproxy's flows and calls its hooks."""
