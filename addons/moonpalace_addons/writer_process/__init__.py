"""The process that writes to the store, and the proxy's end of the pipes to it.

The proxy's process carries tokens and works nothing out; whatever is worked out of calls, their storing, the index and
the clean-up are done in this process, `server`, of which the proxy sees a `client`. It outlives a proxy that is killed
for as long as it takes to store what the proxy had sent.
"""
