"""The library behind the mitmproxy addon bundle: capture, stream handling and storage of API calls."""
