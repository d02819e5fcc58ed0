"""Commands that carry runs: `import` and `export`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.errors import CliError
from cli.output import note, out, write_json
from cli.text import count, plain, size
from cli.writing import STDOUT, write_out

if TYPE_CHECKING:
    from recorder.bootstrap import Recorder
    from recorder.importing import Imported

_SUFFIX = ".zip"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("import")(import_files)
    app.command("export")(export)


def import_files(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…", help="Transcripts, .sse or .jsonl; or exported runs, .run.zip."
        ),
    ],
    workflow: Annotated[
        str,
        typer.Option(
            "--workflow", metavar="ID", help="The workflow the runs of transcripts are of."
        ),
    ] = "",
    request_id: Annotated[
        str | None,
        typer.Option(
            "--request-id",
            metavar="ID",
            help="The run's id, for a single transcript; else one made of the file's content.",
        ),
    ] = None,
    db: options.Db = None,
    as_json: options.Json = False,
) -> None:
    """Record saved streams as runs, and take in exported runs.

    A run that is in the log already is left as it is, so importing twice does no harm. Exits with 1
    where another run of the same id is there.
    """
    if request_id is not None and len(files) > 1:
        raise CliError("--request-id names one run; give one file")
    if request_id == "":
        raise CliError("--request-id is empty")
    named = workflow or request_id is not None
    if named and any(file.suffix == _SUFFIX for file in files):
        raise CliError("--workflow and --request-id are for transcripts; exported runs have theirs")
    with options.open_recorder(db) as recorder:
        imported = [
            one
            for file in files
            for one in _import(recorder, file, workflow=workflow, request_id=request_id)
        ]
    if as_json:
        from cli.documents import imported_document

        write_json({"imported": [imported_document(one) for one in imported]})
        return
    for one in imported:
        what = "is in the log already as" if one.already_there else "→"
        out().print(f"{plain(one.path)} {what} {plain(one.request_id)}", soft_wrap=True)


def _import(
    recorder: Recorder, file: Path, *, workflow: str, request_id: str | None
) -> Iterable[Imported]:
    from recorder.errors import RunConflict
    from recorder.importing import Imported

    if file.suffix != _SUFFIX:
        return [recorder.import_transcript(file, workflow=workflow, request_id=request_id)]
    try:
        copied = recorder.import_runs(file)
    except RunConflict as error:
        raise CliError(f"{file}: {error}; nothing of the file was imported", 1) from None
    return [Imported(str(file), run.request_id, already_there=not run.added) for run in copied]


def export(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="Request ids of runs, or of steps of them."),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A name that ends in .run.zip; - for stdout."
        ),
    ],
    db: options.Db = None,
) -> None:
    """Write runs into one file, with their times, bytes and proof; import takes it in anywhere."""
    from cli.commands.listing import find

    path = None if output == STDOUT else Path(output)
    if path is not None and path.suffix != _SUFFIX:
        raise CliError(f"--output: {output!r} does not end in .run.zip, by which import knows it")
    with options.open_recorder(db) as recorder:
        ids = dict.fromkeys(find(recorder, given).request_id for given in runs)
        write_out(output, recorder.export(ids))
    if path is not None:
        note(f"{count(len(ids), 'run')} → {plain(output)}, {size(path.stat().st_size)}")
