"""The console: pages in a browser for the stored calls, and the same as JSON."""
