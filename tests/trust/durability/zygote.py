"""A process that has everything imported and forks a victim for every line of its input.

Starting Python anew for each of hundreds of rounds would take longer than the rounds themselves.
Run as `python -m tests.trust.durability.zygote`; each line is a JSON list, a task and its arguments.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.trust.durability.promises import Place
from tests.trust.durability.victims import TASKS, say

_ROOT = Path(__file__).parents[3]


class Victim:
    """A process that can be killed, and what it has said.

    Attributes:
        acknowledged: Where it was told its events stand.
        spooled: Events it saw on the disk of the spool, by run and number.
        exit_code: Negative for a signal; None as long as it lives.
    """

    def __init__(self, zygote: subprocess.Popen[str]) -> None:
        assert zygote.stdout is not None
        self._lines = zygote.stdout
        word, pid = self._lines.readline().split()
        assert word == "pid"
        self._pid = int(pid)
        self.acknowledged: list[Place] = []
        self.spooled: set[tuple[str, int]] = set()
        self.exit_code: int | None = None

    def listen(self, acknowledgements: int) -> None:
        """Returns when so many have been heard, or at its end."""
        while self.exit_code is None and len(self.acknowledged) < acknowledgements:
            self._hear(self._lines.readline())

    def kill(self) -> None:
        """`kill -9`, then listens to what it had said before."""
        os.kill(self._pid, signal.SIGKILL)
        self.listen_to_the_end()

    def listen_to_the_end(self) -> None:
        while self.exit_code is None:
            self._hear(self._lines.readline())

    def _hear(self, line: str) -> None:
        match line.split():
            case ["acknowledged", request_id, seq, position]:
                self.acknowledged.append(Place(request_id, int(seq), int(position)))
            case ["spooled", request_id, seq]:
                self.spooled.add((request_id, int(seq)))
            case ["dead", code]:
                self.exit_code = int(code)
            case _:
                raise AssertionError(f"the victim said {line!r}")


class Zygote:
    """The process, seen from the test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, task: str, *arguments: str) -> Victim:
        """Forks a victim; one at a time."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([task, *arguments]) + "\n")
        self._process.stdin.flush()
        return Victim(self._process)


@contextmanager
def zygote() -> Iterator[Zygote]:
    """A zygote for as long as the block lasts."""
    command = [sys.executable, "-m", "tests.trust.durability.zygote"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
    ) as process:
        yield Zygote(process)


def main() -> None:
    for line in sys.stdin:
        task, *arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_live(task, arguments))
        _, status = os.waitpid(pid, 0)
        say(f"dead {os.waitstatus_to_exitcode(status)}")


def _live(task: str, arguments: list[str]) -> int:
    say(f"pid {os.getpid()}")
    try:
        TASKS[task](*arguments)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
