"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.errors import CliError

if TYPE_CHECKING:
    from analytics.archive import Archive
    from analytics.comparing.windows import Previous
    from recorder.bootstrap import Recorder

Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="SQLAlchemy URL of the database; else RECORDER_DATABASE_URL, else a SQLite file in "
        "your data folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Workflow = Annotated[
    str | None, typer.Option("--workflow", metavar="ID", help="Only runs of this workflow.")
]
Node = Annotated[str | None, typer.Option("--node", metavar="ID", help="Only steps of this node.")]
App = Annotated[
    str | None, typer.Option("--app", metavar="ID", help="Only where a step ran this app.")
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Opened at or after: RFC 3339 (2026-11-23T06:00:00Z), or ago: 30m, 12h, 7d.",
    ),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Opened before, in the same forms.")
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")]
SERVICE_PORT: Final = 8765
"""Where the service listens unless told otherwise, and links to it lead."""

Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 for a free one.")]


class Compare(StrEnum):
    """What a window is compared with."""

    previous = "previous"


def previous(compare: Compare | None) -> Previous | None:
    """The same, as questions take it."""
    return None if compare is None else "previous"


_AGO: Final = re.compile(r"(\d{1,9})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def open_recorder(db: str | None, *, migrate: bool = False) -> Recorder:
    """Opens the database the user named.

    Raises:
        LogError: As `recorder.open`.
    """
    from recorder.bootstrap import open as open_log  # loads SQLAlchemy and Alembic

    return open_log(db, migrate=migrate)


@contextmanager
def open_archive(db: str | None) -> Iterator[Archive]:
    """Opens the database the user named, with its segments, for questions about all it holds by now.

    Raises:
        LogError: As `recorder.open`.
    """
    from analytics.archive import open_archive as open_segments  # loads DuckDB and Arrow

    with open_recorder(db) as recorder:
        recorder.projector.catch_up()
        with open_segments(recorder) as archive:
            yield archive


def where(recorder: Recorder) -> str:
    """The database's URL, fit to be shown: without its password."""
    url = recorder.database.engine.url
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def moment_us(text: str | None, option: str, *, now: datetime | None = None) -> int | None:
    """Reads a time: RFC 3339, a bare date, or so long ago (`7d`, `12h`, `30m`, `45s`, `2w`).

    A time without an offset is taken as UTC.

    Returns:
        Microseconds since 1970; None for None.

    Raises:
        CliError: It is neither.
    """
    if text is None:
        return None
    now = now or datetime.now(UTC)
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago is not None:
            at = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            at = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise CliError(
            f"{option}: {text!r} is no time; give 2026-11-23T06:00:00Z, 2026-11-23, 7d, 12h or 30m"
        ) from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def request_body(given: list[str]) -> bytes:
    """Puts a request body together from `--input` values.

    Each is `@file.json` (`@-` for stdin), a JSON object, or `key=value` with a value that is JSON
    where it reads as JSON, and text where not. Later ones win, key by key. A single file or object
    is sent as it stands, byte for byte.

    Raises:
        CliError: One of them is none of these, or cannot be read.
    """
    if len(given) == 1 and (text := _document(given[0])) is not None:
        _object(text, given[0])
        return text.encode()
    body: dict[str, Any] = {}
    for item in given:
        text = _document(item)
        body |= _pair(item) if text is None else _object(text, item)
    return json.dumps(body).encode()


def _document(item: str) -> str | None:
    """The JSON text an item stands for; None where it is `key=value`."""
    if item.startswith("@"):
        return _read(item[1:])
    return item if item.lstrip().startswith("{") else None


def _read(name: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CliError(f"--input: {name} is not UTF-8") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CliError(f"--input: {name}: {(reason or 'cannot be read').lower()}") from None


def _object(text: str, item: str) -> dict[str, Any]:
    try:
        text.encode()
        value = _strict_json(text)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else "is no JSON"
        raise CliError(f"--input: {_name(item)}: {reason}") from None
    if not isinstance(value, dict):
        raise CliError(f"--input: {_name(item)}: a run's input is a JSON object")
    return value


def changes(given: list[str]) -> dict[str, Any]:
    """Reads `--set` values; see `pairs`."""
    return pairs(given, "--set")


def pairs(given: list[str], option: str) -> dict[str, Any]:
    """Reads an option's values, each `key=value` as for `--input`; later ones win.

    Raises:
        CliError: One of them is not.
    """
    read: dict[str, Any] = {}
    for item in given:
        read |= _pair(item, option, "is not key=value")
    return read


def _pair(
    item: str,
    option: str = "--input",
    otherwise: str = "is none of key=value, @file.json and a JSON object",
) -> dict[str, Any]:
    key, equals, text = item.partition("=")
    if not equals or not key:
        raise CliError(f"{option}: {item!r} {otherwise}")
    try:
        item.encode()
    except UnicodeEncodeError:
        raise CliError(f"{option}: the value of {key!r} is not UTF-8") from None
    try:
        return {key: _strict_json(text)}
    except (ValueError, RecursionError):
        return {key: text}


def _strict_json(text: str) -> Any:
    """Reads JSON; NaN and infinities, which Python would take, are none."""

    def refuse(constant: str) -> float:
        raise ValueError(constant)

    value = json.loads(text, parse_constant=refuse)
    json.dumps(value, allow_nan=False)  # 1e999 reads as infinity
    return value


def _name(item: str) -> str:
    return item[1:] if item.startswith("@") else "the JSON given"
