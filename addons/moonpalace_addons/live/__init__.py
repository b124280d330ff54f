"""What mitmweb and the console of mitmproxy show of calls: content views, streams while they run, what is kept."""
