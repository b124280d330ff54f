"""The writer's process (`server`), and the proxy's end of the pipes to it (`client`).

The proxy's process only forwards tokens; parsing calls, storing them, indexing and clean-up are done in the writer's
process. It outlives a killed proxy until it has stored what the proxy had sent.
"""
