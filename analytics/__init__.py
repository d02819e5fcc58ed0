"""Questions over many runs, answered by DuckDB from columns loaded out of the projections.

    import analytics

    with analytics.open("sqlite:///runs.db") as log:
        table = log.latency(by=["app"], since="7d")

Importing this package is light; what it names is loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analytics.face import Analytics, open

__all__ = ["Analytics", "open"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'analytics' has no attribute {name!r}")
    return getattr(import_module("analytics.face"), name)
