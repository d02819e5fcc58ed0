"""Parquet segments of runs, steps and events: written by a catch-up worker, read by DuckDB.

    folder    where the files are: a local folder, or any fsspec URL
    files     one file being written: days, sorted rows, row groups
    catalog   which files count, in SQL; what moves there moves in one transaction
    reading   which runs are in which files, and which are not
    exporter  one round after the other: new runs, days to be written anew, merges, deletions
    worker    rounds in the background

What is in the files and what has to come from SQL is decided by SQL alone, in the reader's transaction,
so an answer is complete and consistent whatever an exporter does meanwhile or did before it crashed.
"""
