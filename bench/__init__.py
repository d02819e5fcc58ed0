"""Measurements: both sides of a comparison in one interleaved run, medians and ratios."""
