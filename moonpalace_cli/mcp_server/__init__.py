"""`mpal mcp`: the store for coding agents, over the Model Context Protocol."""
