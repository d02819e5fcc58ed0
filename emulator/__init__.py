"""A local workflow endpoint that speaks fal's protocol.

It runs workflow definitions step by step, streams the same four events as fal does, and can be told
to be slow, to fail or to break the connection. It needs no account and never goes to the network.
See docs/emulator.md.
"""
