"""The databases of the original MoonPalace: read, and turned into ours."""
