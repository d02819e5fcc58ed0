"""Commands on the log itself: `tail`, `verify`, `rebuild` and `migrate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from cli import options
from cli.errors import CliError
from cli.output import note, out, progress_bar, write_json, write_json_text
from cli.text import count, plain

if TYPE_CHECKING:
    from cli.remote import RemoteEvent
    from recorder.events import LoggedEvent

_TEN_BACK: Final = 10

_Placed = TypeVar("_Placed", "LoggedEvent", "RemoteEvent")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("tail")(tail)
    app.command("verify")(verify)
    app.command("rebuild")(rebuild)
    app.command("migrate")(migrate)


def tail(
    after: Annotated[
        int | None,
        typer.Option(
            "--after", min=0, metavar="N", help="Begin after this position; else ten events back."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="End after so many events.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", help="Follow this recorder service instead of a database."
        ),
    ] = None,
    db: options.Db = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document a line, one for each event.")
    ] = False,
) -> int:
    """Follow the log: every event in commit order, each once. Ctrl-C ends it.

    With --url a lost connection is taken up again where it was lost.
    """
    if url is not None:
        if db is not None:
            raise CliError("--url and --db name two logs; give one")
        return _tail_service(url, after, limit, as_json=as_json)
    with options.open_recorder(db) as recorder:
        if after is None:
            after = max(0, recorder.log.head().position - _TEN_BACK)
        events = islice(recorder.follow(after=after), limit)
        return _until_interrupted(events, after, partial(_tell, as_json=as_json))


def _tail_service(url: str, after: int | None, limit: int | None, *, as_json: bool) -> int:
    from cli.remote import RemoteLog, logged

    log = RemoteLog(url, tell=lambda said: note(f"recorder: {said}"))
    if after is None:
        after = max(0, log.position() - _TEN_BACK)
    events = islice(log.follow(after), limit)
    if as_json:
        return _until_interrupted(events, after, lambda event: write_json_text(event.text))
    return _until_interrupted(events, after, lambda event: _tell(logged(event), as_json=False))


def _until_interrupted(
    events: Iterator[_Placed], after: int, tell: Callable[[_Placed], object]
) -> int:
    position = after
    try:
        for event in events:
            tell(event)
            position = event.position
    except KeyboardInterrupt:
        note(f"recorder: go on with --after {position}")
    return 0


def _tell(logged: LoggedEvent, *, as_json: bool) -> None:
    if as_json:
        from cli.documents import event_document

        write_json(event_document(logged), indent=None)
        return
    from cli.render import event_row

    console = out()
    if console.is_terminal:
        console.print(event_row(logged), no_wrap=True, overflow="ellipsis")
    else:
        console.print(event_row(logged), soft_wrap=True)
    console.file.flush()


def verify(db: options.Db = None, as_json: options.Json = False) -> int:
    """Check that every event is as it was recorded. Exits with 1 if the chain is broken."""
    with (
        options.open_recorder(db) as recorder,
        progress_bar("verifying", recorder.log.head().position) as done,
    ):
        verdict = recorder.verify(progress=done)
    if as_json:
        from cli.documents import verdict_document

        write_json(verdict_document(verdict))
    elif verdict.intact:
        erased = f", {verdict.erased:,} erased" if verdict.erased else ""
        out().print(
            f"intact: {count(verdict.position, 'event')}{erased}, chain {verdict.chain.hex()}",
            soft_wrap=True,
        )
    else:
        out().print(f"BROKEN at position {verdict.broken_at}: {plain(verdict.reason)}", style="red")
    return 0 if verdict.intact else 1


def rebuild(db: options.Db = None, as_json: options.Json = False) -> None:
    """Fold the whole log into new tables of runs and steps, compare with the old, and swap."""
    with (
        options.open_recorder(db) as recorder,
        progress_bar("rebuilding", recorder.log.head().position) as done,
    ):
        rebuilt = recorder.rebuild(progress=done)
    if as_json:
        from cli.documents import rebuilt_document

        write_json(rebuilt_document(rebuilt))
        return
    out().print(
        f"rebuilt from {count(rebuilt.position, 'event')}: "
        f"{count(rebuilt.differences, 'run')} differed from the old tables"
    )


def migrate(db: options.Db = None) -> None:
    """Bring the database to this version's schema; an empty one is set up."""
    with options.open_recorder(db, migrate=True) as recorder:
        head = recorder.log.head()
        out().print(
            f"{plain(options.where(recorder))} is at this version's schema and holds "
            f"{count(head.position, 'event')}",
            soft_wrap=True,
        )
