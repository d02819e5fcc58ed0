"""A process to be traced: it appends, and writes a line after each acknowledgement.

Run as `python -m tests.trust.durability.acknowledging_process URL SPOOL COUNT`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from recorder.store.engine import connect
from recorder.store.log import SqlLog
from recorder.store.spool import Spool, SpooledEvent
from recorder.writer import LogWriter
from tests.builders import plain_run
from tests.logs import WAIT_S
from tests.trust.durability.victims import say


def main(url: str, folder: str, count: int) -> None:
    database = connect(url)
    log = SqlLog(database)
    writer = LogWriter(log)
    for event in plain_run("a", count):
        writer.submit([event]).result(WAIT_S)
        say("acknowledged")
    assert writer.close()
    database.close()
    spool = Spool(Path(folder), log.instance)
    for number, event in enumerate(plain_run("b", count)):
        spool.write(number, [SpooledEvent(None, True, event.seq, event)])
        say("spooled")
    spool.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
