"""Sans-IO core: bytes or values in, values out; no clock, file, network, log or mitmproxy."""
