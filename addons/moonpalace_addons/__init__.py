"""MoonPalace's mitmproxy addons, and the library behind them: capture, stream editing and storage of API calls."""
