"""What got better or worse: two sides compared, and changes found over time.

Two sides are any two selections: windows, definitions, cohorts. Methods, their sources and their measured
rates of error are in docs/reports.md.
"""
