"""The version of MoonPalace, read by the build and by `mpal --version`."""

__version__ = "0.1.0"
