"""What mitmweb and mitmproxy's console show of calls: content views and running streams."""
