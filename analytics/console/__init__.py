"""The SQL console: anybody's query over `runs`, `steps` and `events`, in a process that can do no harm.

The process that runs a query holds no connection, no credential and no environment; DuckDB in it reaches
no file and no network; the kernel and we watch it from outside, and end it where it goes beyond a limit.

`console.Console` is the face; `asked` has what it takes and gives. Nothing is imported here: the process of a
query starts faster, and knows less, without a database's library.
"""
