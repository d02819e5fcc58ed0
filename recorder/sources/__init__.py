"""Adapters to where streams come from."""
