"""A past that never was: weeks of runs, as a recorder would have written them.

`synthesize` writes one into a log; what it planted there is known, so that reports can be judged by it.
"""

from cli.demo.history.planting import Burst, Change, Planted, Slowdown
from cli.demo.history.writing import History, Written, synthesize

__all__ = ["Burst", "Change", "History", "Planted", "Slowdown", "Written", "synthesize"]
