"""The `doctor` command."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import typer
from rich.text import Text

from cli import options
from cli.output import out, progress_bar, write_json
from cli.text import plain

if TYPE_CHECKING:
    from recorder.doctor import Finding

_LOOKS: Final = {"ok": ("✓", "green"), "notice": ("·", "yellow"), "problem": ("✗", "red")}
_CHECK_WIDTH: Final = 12


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


def doctor(db: options.Db = None, as_json: options.Json = False) -> int:
    """Look over the log and everything around it. Exits with 1 if something is wrong."""
    with (
        options.open_recorder(db) as recorder,
        progress_bar("examining", recorder.log.head().position) as done,
    ):
        findings = recorder.examine(progress=done)
    if as_json:
        from cli.documents import findings_document

        write_json(findings_document(findings))
    else:
        _tell(findings)
    return 1 if any(finding.severity == "problem" for finding in findings) else 0


def _tell(findings: Iterable[Finding]) -> None:
    console = out()
    for finding in findings:
        mark, colour = _LOOKS[finding.severity]
        line = Text(f"{mark} {finding.check:<{_CHECK_WIDTH}} {plain(finding.summary)}")
        line.stylize(colour, 0, len(mark))
        console.print(line, soft_wrap=True)
        for example in finding.examples:
            console.print(Text(f"{'':{_CHECK_WIDTH + 3}}{plain(example)}", "dim"), soft_wrap=True)
