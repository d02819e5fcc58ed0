"""The spool: where events wait on the local disk while the log is away.

A folder of segments, one file per group of events, `{owner}-{number}.spool`, to be appended in order
of their numbers. A segment is a run of records, each a four-byte length, a four-byte CRC-32 and that
many bytes; it is complete once its file has this name, because it is written under another one, synced,
and renamed. A record that is torn or does not match its CRC ends its segment.

Appending a segment twice does no harm: appends are idempotent. So a segment is deleted after its events
are in the log, and a crash in between costs nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from recorder.events import NewEvent

REFUSED: Final = ".refused"
"""Ends the name of a file with what the log refused for good; its records are those of a segment."""

DAMAGED: Final = ".damaged"
"""Ends the name of a segment that could not be read to its end."""

_HEADER_BYTES: Final = 8
_NAME = re.compile(r"(?P<owner>[0-9a-f-]{36})-(?P<number>\d{12})\.spool")
_REMAINS = re.compile(r"(?P<owner>[0-9a-f-]{36})(-\d{12}\.part|\.lock)")
"""What a process that was killed leaves beside its segments."""


class SpooledEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event in the spool.

    Attributes:
        lane: Names the recording the event belongs to; None for events sent without one.
        opened: Whether the run's id was settled when this was spooled; if not, the `opened` event of
            the lane settles it, as it would have done then.
        seq: Where the event stands in its run, gaps taken into account.
        event: As its sender numbered it.
    """

    lane: str | None
    opened: bool
    seq: int
    event: NewEvent


class Segment(msgspec.Struct, frozen=True):
    """A file of the spool."""

    path: Path

    def read(self) -> Iterator[SpooledEvent]:
        """Its events, up to the first record that is torn or damaged."""
        with self.path.open("rb") as file:
            while len(header := file.read(_HEADER_BYTES)) == _HEADER_BYTES:
                size = int.from_bytes(header[:4], "big")
                crc = int.from_bytes(header[4:], "big")
                record = file.read(size)
                if len(record) < size or zlib.crc32(record) != crc:
                    return
                try:
                    spooled = _decode(record)
                except msgspec.MsgspecError:  # another version's
                    return
                yield spooled

    def is_whole(self) -> bool:
        """Whether every record of the file can be read."""
        whole = sum(_HEADER_BYTES + len(_encode(spooled)) for spooled in self.read())
        return whole == self.path.stat().st_size

    def set_apart(self) -> None:
        """Keeps the file for people to look at; nobody appends it any more."""
        self.path.rename(self.path.with_suffix(DAMAGED))

    def delete(self) -> None:
        """Removes the file; idempotent."""
        self.path.unlink(missing_ok=True)


_decode = msgspec.msgpack.Decoder(SpooledEvent).decode
_encode = msgspec.msgpack.Encoder().encode


def _write_all(file: io.FileIO, data: bytes) -> None:
    if file.write(data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _record(spooled: SpooledEvent) -> bytes:
    record = _encode(spooled)
    return len(record).to_bytes(4, "big") + zlib.crc32(record).to_bytes(4, "big") + record


class Spool:
    """One process's part of a spool folder.

    Args:
        folder: The folder, made when first needed. It belongs to one log.
        owner: Names this process's segments; a UUID.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        self._folder = folder
        self._owner = owner
        self._lock: int | None = None

    def write(self, number: int, events: Sequence[SpooledEvent]) -> Segment:
        """Writes a segment; on the disk, name and all, when it returns.

        Args:
            number: Its place among this process's segments.
            events: What it holds.

        Raises:
            OSError: It could not be written; nothing of it is left.
        """
        self._own()
        path = self._folder / f"{self._owner}-{number:012d}.spool"
        unfinished = path.with_suffix(".part")
        try:
            with unfinished.open("wb") as file:
                file.writelines(map(_record, events))
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
            self._sync_folder()
        except OSError:
            for leftover in (unfinished, path):
                with contextlib.suppress(OSError):
                    leftover.unlink(missing_ok=True)
            raise
        return Segment(path)

    def keep_refused(self, events: Sequence[SpooledEvent]) -> None:
        """Adds to what the log has refused for good of this process, for people to look at.

        On the disk when it returns; one file, however much it is.

        Raises:
            OSError: It could not be written; nothing of it is left.
        """
        self._own()
        data = b"".join(map(_record, events))
        with (self._folder / f"{self._owner}{REFUSED}").open("ab", buffering=0) as file:
            start = file.tell()
            try:
                _write_all(file, data)
                os.fsync(file.fileno())
            except OSError:
                file.truncate(start)
                raise
        self._sync_folder()

    def adopt(self) -> list[Segment]:
        """Segments of processes that are gone, in the order to append them.

        What else those have left is removed: locks, and files they had not finished.
        """
        found = [
            (segment, _NAME.fullmatch(segment.path.name)) for segment in segments(self._folder)
        ]
        left = [segment for segment, name in found if name and self._is_gone(name["owner"])]
        self._sweep()
        return left

    def close(self) -> None:
        """Gives up this process's claim; what it left can be adopted by others."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            with contextlib.suppress(OSError):
                self._lock_path(self._owner).unlink(missing_ok=True)

    def _own(self) -> None:
        """Holds a lock file as long as this process lives, so that nobody adopts its segments."""
        while self._lock is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._lock_path(self._owner)
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # others hold it for an instant only, to look
            if _is_file_at(descriptor, path):
                self._lock = descriptor
            else:
                os.close(descriptor)

    def _is_gone(self, owner: str) -> bool:
        with self._kept_away(owner) as gone:
            return gone

    @contextlib.contextmanager
    def _kept_away(self, owner: str) -> Iterator[bool]:
        """Whether a process is gone; during the block it cannot come back."""
        if owner == self._owner:
            yield False
            return
        try:
            descriptor = os.open(self._lock_path(owner), os.O_RDWR)
        except FileNotFoundError:
            yield True
            return
        try:
            yield _lock_at_once(descriptor)
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        """Removes what processes that are gone have left and nobody can use."""
        for path in list(self._folder.iterdir()) if self._folder.is_dir() else []:
            if name := _REMAINS.fullmatch(path.name):
                with self._kept_away(name["owner"]) as gone:
                    if gone:
                        path.unlink(missing_ok=True)

    def _lock_path(self, owner: str) -> Path:
        return self._folder / f"{owner}.lock"

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock_at_once(descriptor: int) -> bool:
    """Locks a file; False if another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_file_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def segments(folder: Path) -> list[Segment]:
    """All complete segments of a folder, each process's in the order of their numbers."""
    if not folder.is_dir():
        return []
    return [Segment(path) for path in sorted(folder.iterdir()) if _NAME.fullmatch(path.name)]
