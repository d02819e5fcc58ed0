"""The recording proxy: requests to fal pass through unchanged, and are recorded beside.

Two ways in: host-style below `/fal/`, and fal's server-proxy protocol at `/api/fal/proxy`.
"""
