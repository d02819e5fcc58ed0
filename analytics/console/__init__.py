"""The SQL console: anybody's query over `runs`, `steps` and `events`, in a process that can do no harm.

The process that runs a query holds no connection, no credential and no environment; DuckDB in it reaches
no file and no network; the kernel and we watch it from outside, and end it where it goes beyond a limit.
"""

from analytics.console.asked import Answer, Form, Limits, Query
from analytics.console.console import Console

__all__ = ["Answer", "Console", "Form", "Limits", "Query"]
