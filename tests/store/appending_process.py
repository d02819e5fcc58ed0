"""A process that appends; run by the contract tests as `python -m tests.store.appending_process`.

Says `ready`, waits for a line on its input, then appends a run's events in batches.
"""

from __future__ import annotations

import sys

from recorder.store.engine import connect
from recorder.store.log import Receipt, SqlLog
from tests.builders import plain_run


def main(url: str, request_id: str, count: int, batch_size: int) -> None:
    database = connect(url)
    log = SqlLog(database)
    log.head()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for first in range(0, count, batch_size):
        outcomes = log.append(plain_run(request_id, batch_size, first=first))
        assert all(isinstance(each, Receipt) for each in outcomes), outcomes
    database.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
