"""A local workflow endpoint that speaks fal's protocol.

It runs workflow definitions step by step, streams the same four events as fal does, queues runs and
signs their webhooks, and can be told to be slow, to fail or to break the connection. It needs no
account, and goes to the network only to deliver webhooks. See docs/emulator.md.
"""
