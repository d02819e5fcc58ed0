"""What goes wrong on a command line, beside `recorder.errors`."""

from __future__ import annotations


class CliError(Exception):
    """Ends the command with one line on stderr.

    Args:
        message: The line, without `recorder: `.
        code: The exit code: 2 for wrong usage and for what cannot be reached, 1 for a run or check
            that failed.
    """

    def __init__(self, message: str, code: int = 2) -> None:
        self.code = code
        super().__init__(message)
