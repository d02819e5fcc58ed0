"""A process that rebuilds and says what memory that took: `python -m tests.trust.rebuilding_process URL`."""

from __future__ import annotations

import sys

from recorder.projector import rebuild
from recorder.store.engine import connect
from recorder.store.log import SqlLog
from tests.trust.memory import peak_rss_bytes, rss_bytes


def main(url: str) -> None:
    database = connect(url)
    log = SqlLog(database)
    log.head()
    before = rss_bytes()
    rebuild(database, log)
    sys.stdout.write(str(peak_rss_bytes() - before))
    database.close()


if __name__ == "__main__":
    main(sys.argv[1])
