"""Calls from other stores: imports, and the databases of the original MoonPalace."""
