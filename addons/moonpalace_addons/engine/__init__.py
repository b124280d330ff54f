"""Our HTTP/1.1 server inside mitmproxy: it creates mitmproxy's flows and calls its hooks."""
