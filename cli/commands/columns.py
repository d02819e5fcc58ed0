"""`columns`: puts what is recorded into Parquet segments, for questions over much of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.errors import CliError
from cli.output import out, progress_bar, write_json
from cli.text import count, plain

if TYPE_CHECKING:
    from analytics.segments.exporter import Exporter


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("columns")(columns)


def columns(
    events: Annotated[
        bool, typer.Option("--events", help="Events with their frames as well, from now on.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Drop all segments first and make them anew.")
    ] = False,
    db: options.Db = None,
    as_json: options.Json = False,
) -> None:
    """Put closed runs and their steps into Parquet segments now; `serve` does it by itself."""
    from analytics.archive import open_archive  # loads DuckDB and Arrow

    with options.open_recorder(db) as recorder:
        recorder.projector.catch_up()
        with open_archive(recorder, with_events=events) as archive:
            exporters = archive.exporters(take_over=True)
            if not exporters:
                raise CliError("there are no segments: RECORDER_SEGMENTS is off")
            try:
                for exporter in exporters:
                    _catch_up(exporter, rebuild=rebuild)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise CliError(f"{error.filename or 'segments'}: {reason}") from None
            document = _document(exporters)
            where = str(archive.folder)
    if as_json:
        write_json(document)
        return
    told = ", ".join(f"{count(of['rows'], kind[:-1])}" for kind, of in document["segments"].items())
    files = sum(of["files"] for of in document["segments"].values())
    out().print(
        f"{plain(where)} holds {told} in {count(files, 'file')}, up to position "
        f"{document['exported_position']:,}",
        soft_wrap=True,
    )


def _catch_up(exporter: Exporter, *, rebuild: bool) -> None:
    if rebuild:
        exporter.start_over()
    exporter.look_for_damage()
    total = exporter.listed().projected.position
    with progress_bar("exporting", total) as done:
        exporter.catch_up(progress=done)


def _document(exporters: list[Exporter]) -> dict[str, Any]:
    """What the segments hold now."""
    listed = [exporter.listed() for exporter in exporters]
    kinds: dict[str, dict[str, int]] = {}
    for segment in (segment for each in listed for segment in each.segments):
        of = kinds.setdefault(segment.kind, {"files": 0, "rows": 0, "bytes": 0})
        of["files"] += 1
        of["rows"] += segment.rows
        of["bytes"] += segment.size_bytes
    order = [kind for kind in ("runs", "steps", "events") if kind in kinds]
    return {
        "exported_position": min(each.exported.position for each in listed),
        "as_of_position": listed[0].projected.position,
        "segments": {kind: kinds[kind] for kind in order},
    }
