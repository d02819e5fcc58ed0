"""Cassettes: recorded runs in a file of the user's, played to a test in place of fal.

A cassette is a portable run file (docs/portable-runs.md). A test that uses one calls a recorder of its own, on a
log of its own, which answers from the cassette or records what is called into it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

import recorder
from api.server import ApiServer
from recorder.bootstrap import Recorder
from recorder.inputs import canonical
from recorder.settings import ProxySettings, Settings
from recorder.store import matches
from recorder.store.matches import Asked

CassetteMode = Literal["none", "once", "all"]
MODES: Final[tuple[CassetteMode, ...]] = ("none", "once", "all")

_EVERY_STATUS: Final = ("completed", "failed", "interrupted", "cancelled")
_COMPARED: Final = 50


class Cassette(msgspec.Struct, frozen=True):
    """A cassette in use.

    Attributes:
        url: The recorder's base address: host-style clients call `{url}/fal`, others `{url}/api/fal/proxy`.
        path: The file.
        records: Whether calls go to upstream and into the file, or are answered from it.
        server: Who answers.
        rec: Its recorder.
    """

    url: str
    path: Path
    records: bool
    server: ApiServer
    rec: Recorder

    def misses(self) -> list[str]:
        """What was asked for and is not on the cassette, each with how the nearest input differs."""
        return [_explained(self.rec, asked) for asked in self.server.app.state.proxy.misses]


@contextmanager
def playing(
    path: Path, mode: CassetteMode, scratch: Path, *, ignore: Sequence[str] = ()
) -> Iterator[Cassette]:
    """A recorder that answers from a cassette, or records one, for the time of the block.

    Args:
        path: The cassette.
        mode: `none` never calls upstream; `once` records a cassette that is not there yet; `all` records
            it anew.
        scratch: A folder for the log.
        ignore: Fields of the input that do not count.

    Raises:
        BadRunFile: The file is no cassette.
    """
    records = mode == "all" or (mode == "once" and not path.exists())
    url = f"sqlite:///{scratch / 'cassette.db'}"
    proxy = ProxySettings(
        mode="record" if records else "replay", replay_speed="max", replay_ignore=tuple(ignore)
    )
    settings = Settings(database_url=url, spool=scratch / "spool", proxy=proxy)
    with recorder.open(url, settings=settings) as rec:
        if not records and path.exists():
            rec.import_runs(path)
        with ApiServer(rec) as server:
            yield Cassette(server.url, path, records, server, rec)
        if records:
            _save(rec, path)


def _save(rec: Recorder, path: Path) -> None:
    """Writes the cassette whole or not at all; nothing where nothing was called."""
    ids = [run.request_id for run in reversed(rec.runs(limit=1_000).runs)]
    if not ids:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    with unfinished.open("wb") as file:
        file.writelines(rec.export(ids))
    unfinished.replace(path)


def _explained(rec: Recorder, asked: Asked) -> str:
    wanted = _lines(asked.body, asked.ignoring)
    any_run = msgspec.structs.replace(asked, statuses=_EVERY_STATUS)
    recorded = [
        _lines(body, asked.ignoring)
        for body in matches.inputs(rec.database, rec.log, any_run, limit=_COMPARED)
    ]
    if not recorded:
        return f"no run of {asked.app} is on the cassette; it was called with\n" + "\n".join(wanted)
    nearest = max(recorded, key=lambda lines: _likeness(lines, wanted))
    if nearest == wanted:
        return f"{asked.app} was called once more than it is on the cassette with this outcome"
    difference = difflib.unified_diff(nearest, wanted, "on the cassette", "called", lineterm="")
    return f"{asked.app} was called with another input than any on the cassette:\n" + "\n".join(
        difference
    )


def _likeness(one: list[str], other: list[str]) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def _lines(body: bytes, ignoring: Sequence[str]) -> list[str]:
    """An input for people: JSON, a value a line."""
    text = canonical(body, ignoring=ignoring)
    try:
        return json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False).split(
            "\n"
        )
    except ValueError:
        return text.decode("utf-8", "replace").split("\n")
