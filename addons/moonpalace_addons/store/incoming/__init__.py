"""Import calls from other stores, and upgrade databases of the original MoonPalace."""
