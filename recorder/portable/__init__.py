"""Portable runs: recorded runs in one file, with what it takes to prove and to take them in elsewhere.

docs/portable-runs.md describes the format.
"""
