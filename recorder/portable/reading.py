"""Reading portable files: whatever comes out of one has been checked against its digests and its chain.

A file may be damaged or made to do harm. It is read as a stream, nothing of it is unpacked onto the disk,
and no name in it is used as a path.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from recorder import audit, chain
from recorder.closing import Closing
from recorder.errors import BadRunFile
from recorder.events import LoggedEvent
from recorder.portable.form import (
    MANIFEST,
    MAX_LINE_BYTES,
    MAX_RUNS,
    Entry,
    Manifest,
    Member,
    RunEntry,
    decode_entry,
    decode_manifest,
    member_of_definition,
)

_NAME: Final = re.compile(r"runs/[1-9][0-9]{0,4}\.ndjson|definitions/[0-9a-f]{64}\.json", re.ASCII)
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 0x1
_CHUNK_BYTES: Final = 1024 * 1024
_MAX_WHOLE_BYTES: Final = 16 * 1024 * 1024
"""Of what is read whole: the manifest, a definition."""

_MAX_DIRECTORY_BYTES: Final = 4 * 1024 * 1024
"""Of the zip's directory, which is read whole: twice what `MAX_RUNS` with a definition each need."""

_HARMLESS_BYTES: Final = 64 * 1024 * 1024
_MAX_RATIO: Final = 200
"""More than `_HARMLESS_BYTES` may unpack to so many times its size. Digests and salts, half of a
usual line, hardly pack at all; deflate can do 1,032."""

_END: Final = struct.Struct("<4s4H2LH")
_END_SIGNATURE: Final = b"PK\x05\x06"
_MAX_COMMENT_BYTES: Final = 65_535

_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip


class RunFile(Closing):
    """A portable file, open for reading; use it as a context manager.

    Args:
        source: The file, or where it is.
        name: What to call it in errors.

    Attributes:
        name: The same.
        manifest: What is in it; read, not yet compared with the rest.

    Raises:
        BadRunFile: It is none, of another version, or its directory shows that it is not whole.
    """

    def __init__(self, source: Path | IO[bytes], name: str | None = None) -> None:
        self.name = name or str(source)
        self._file = _open(source, self.name)
        self._owns_file = isinstance(source, Path)
        try:
            with self._told():
                self._check_end()
                self._archive = zipfile.ZipFile(self._file)
                self._infos = self._checked_infos()
                self.manifest = self._read_manifest()
                self._members = self._checked_members()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file, if it was opened here; idempotent."""
        if self._owns_file:
            self._file.close()

    def verify(self) -> None:
        """Reads everything, so that nothing of it can turn out wrong later.

        Raises:
            BadRunFile: A member is not what the manifest says, or a link of the chain does not hold.
        """
        for run in self.manifest.runs:
            for _ in self.events(run):
                pass
            if run.definition is not None:
                self.definition(run.definition)

    def events(self, run: RunEntry) -> Iterator[LoggedEvent]:
        """A run's events, as they stand in the log they are from, each checked before it comes out.

        That the run is whole has been checked once they are all out.

        Raises:
            BadRunFile: See `verify`.
        """
        with self._told():
            before: LoggedEvent | None = None
            events = 0
            for events, line in enumerate(self._lines(self._members[run.member]), 1):
                try:
                    entry = decode_entry(run.request_id, line)
                except ValueError as error:
                    raise self._bad(f"{run.member}, line {events}: {error}") from None
                fault = self._fault(entry, before)
                if fault is not None:
                    raise self._bad(f"{run.member}, line {events}: {fault}")
                yield entry.logged
                before = entry.logged
            is_closed = before is not None and before.type == "closed"
            if (events, is_closed) != (run.events, run.closed):
                raise self._bad(f"{run.member} holds another run than the manifest says")

    def definition(self, digest: str) -> bytes | None:
        """A workflow's definition, by its digest; None where it is not in the file.

        Raises:
            BadRunFile: It is not what its digest says.
        """
        member = self._members.get(member_of_definition(digest))
        if member is None:
            return None
        with self._told():
            definition = b"".join(self._pieces(member))
        if hashlib.sha256(definition).hexdigest() != digest:
            raise self._bad(f"{member.name} is not what its name says")
        return definition

    def _fault(self, entry: Entry, before: LoggedEvent | None) -> str | None:
        """What is wrong with an event that follows another, or begins the run."""
        logged = entry.logged
        if before is not None and before.type == "closed":
            return "follows the end of the run"
        if logged.seq != (0 if before is None else before.seq + 1):
            return "is not the next event of the run"
        if before is not None and logged.position <= before.position:
            return "stands before the event before it"
        if logged.position > self.manifest.log.position:
            return "stands beyond the end of its log"
        known = None
        if before is not None and logged.position == before.position + 1:
            known = before.chain
        elif logged.position == 1:
            known = chain.GENESIS
        previous = entry.previous or known
        if previous is None:
            return "does not tell the chain before it"
        if known is not None and previous != known:
            return "does not follow the event before it"
        return audit.mismatch(self.manifest.log.epoch, previous, logged)

    def _lines(self, member: Member) -> Iterator[bytes]:
        rest = b""
        for piece in self._pieces(member):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
            if len(rest) > MAX_LINE_BYTES:
                raise self._bad(f"{member.name} has a line of more than {MAX_LINE_BYTES:,} bytes")
        if rest:
            raise self._bad(f"{member.name} ends in the middle of a line")

    def _pieces(self, member: Member) -> Iterator[bytes]:
        """A member's content; that it is the one of the manifest has been checked once all is out."""
        digest = hashlib.sha256()
        with self._archive.open(self._infos[member.name]) as content:
            while piece := content.read(_CHUNK_BYTES):
                digest.update(piece)
                yield piece
        if digest.hexdigest() != member.sha256:
            raise self._bad(f"is damaged: {member.name} is not what the manifest says")

    def _check_end(self) -> None:
        """Reads how long the zip's directory is, before all of it is read."""
        size_bytes = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size_bytes - _MAX_COMMENT_BYTES - _END.size))
        tail = self._file.read()
        at = tail.rfind(_END_SIGNATURE)
        if at < 0 or at + _END.size > len(tail):
            raise self._bad("is no zip, or not whole")
        directory_bytes = _END.unpack_from(tail, at)[5]
        if directory_bytes > _MAX_DIRECTORY_BYTES:
            raise self._bad("holds too many members")

    def _checked_infos(self) -> dict[str, zipfile.ZipInfo]:
        infos = self._archive.infolist()
        names = {info.filename: info for info in infos}
        for info in infos:
            if info.filename != MANIFEST and _NAME.fullmatch(info.filename) is None:
                raise self._bad(f"holds {info.filename[:200]!r}, which does not belong there")
            if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
                raise self._bad(f"has packed {info.filename} in a way that is not read here")
            if not info.filename.startswith("runs/") and info.file_size > _MAX_WHOLE_BYTES:
                raise self._bad(f"has a member that is too long: {info.filename}")
            if info.file_size > max(_HARMLESS_BYTES, _MAX_RATIO * info.compress_size):
                raise self._bad(f"unpacks to much more than it can hold: {info.filename}")
        if len(names) != len(infos):
            raise self._bad("has two members of the same name")
        if sum(info.compress_size for info in infos) > self._file.seek(0, os.SEEK_END):
            raise self._bad("has members that overlap")
        return names

    def _read_manifest(self) -> Manifest:
        info = self._infos.get(MANIFEST)
        if info is None:
            raise self._bad("is no portable run file: it has no manifest")
        text = self._archive.read(info)
        try:
            return decode_manifest(text)
        except ValueError as error:
            raise self._bad(str(error)) from None

    def _checked_members(self) -> dict[str, Member]:
        """The members by name; each belongs to a run, and is as long as the manifest says."""
        manifest = self.manifest
        members = {member.name: member for member in manifest.members}
        of_runs = [run.member for run in manifest.runs]
        belonging = {*of_runs}
        belonging |= {
            member_of_definition(run.definition) for run in manifest.runs if run.definition
        }
        if (
            len({run.request_id for run in manifest.runs}) != len(of_runs)
            or len(of_runs) > MAX_RUNS
        ):
            raise self._bad("has a manifest that names too many runs, or one twice")
        if not set(of_runs) <= members.keys() <= belonging or len({*of_runs}) != len(of_runs):
            raise self._bad("has a manifest whose runs and members do not fit together")
        sizes = {name: info.file_size for name, info in self._infos.items() if name != MANIFEST}
        if sizes != {member.name: member.size_bytes for member in manifest.members}:
            raise self._bad("is damaged: its members are not those of the manifest")
        return members

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tells damage that the zip shows in one line."""
        try:
            yield
        except _DAMAGE as error:
            raise self._bad(f"is damaged: {_one_line(error)}") from None
        except OSError as error:
            raise self._bad(error.strerror or "cannot be read") from None

    def _bad(self, reason: str) -> BadRunFile:
        return BadRunFile(self.name, reason)


def _open(source: Path | IO[bytes], name: str) -> IO[bytes]:
    if not isinstance(source, Path):
        return source
    try:
        return source.open("rb")
    except OSError as error:
        raise BadRunFile(name, (error.strerror or "cannot be read").lower()) from None


def _one_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
