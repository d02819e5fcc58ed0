"""Adapters to SQL: tables, engines, the event log, and the tables derived from it."""
