"""The HTTP API over the log and what is derived from it."""
