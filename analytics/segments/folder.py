"""Where segments are: a local folder, or any `fsspec` URL.

A file is never changed once it has its name, so a copy of a remote one stays right for as long as the name
is listed. Files are read from the local disk only: DuckDB needs no way to anywhere else.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

from recorder.errors import LogError

_UNFINISHED: Final = ".tmp"


class Folder(Protocol):
    """A folder of segments; names are paths below it with forward slashes.

    Attributes:
        readable: A folder on the local disk that files are read from.
    """

    readable: Path

    def write(self, name: str, fill: Callable[[Path], object]) -> int:
        """Makes a file, whole or not at all.

        Args:
            name: Where it is to be seen.
            fill: Writes the contents to the path it is given.

        Returns:
            Its size in bytes; durable on return where the folder is on the local disk.
        """

    def is_there(self, name: str, size_bytes: int) -> bool:
        """Whether the file is there at this size."""

    def local(self, name: str) -> str:
        """The file's path on the local disk.

        Raises:
            OSError: It is not there.
        """

    def delete(self, name: str) -> None:
        """Deletes a file, finished or not; one that is not there is no error."""

    def close(self) -> None:
        """Gives up what was kept on the local disk."""


class LocalFolder:
    """A folder on the local disk; made when first written to.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = self.readable = root.absolute()

    def __str__(self) -> str:
        return str(self._root)

    def write(self, name: str, fill: Callable[[Path], object]) -> int:
        """See `Folder.write`."""
        path = self._root / name
        unfinished = _unfinished(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        fill(unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
            size_bytes = os.fstat(file.fileno()).st_size
        unfinished.rename(path)
        _sync_folder(path.parent)
        return size_bytes

    def is_there(self, name: str, size_bytes: int) -> bool:
        """See `Folder.is_there`."""
        try:
            # Every file for every answer: a path object takes ten times as long as the look.
            return os.stat(f"{self._root}/{name}").st_size == size_bytes  # noqa: PTH116
        except OSError:
            return False

    def local(self, name: str) -> str:
        """See `Folder.local`."""
        return f"{self._root}/{name}"

    def delete(self, name: str) -> None:
        """See `Folder.delete`; a day's folder goes with its last file."""
        path = self._root / name
        for each in (path, _unfinished(path)):
            each.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    def close(self) -> None:
        """See `Folder.close`."""


class RemoteFolder:
    """A folder anywhere `fsspec` reaches; files are copied to the local disk once they are needed.

    Args:
        url: Such as `s3://bucket/segments` or `memory://segments`.

    Raises:
        LogError: The URL's scheme is unknown, or needs a package that is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec  # only for who has segments elsewhere

        try:
            filesystem, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise LogError(f"RECORDER_SEGMENTS: {error}") from None
        self._filesystem: Any = filesystem
        self._root = root.rstrip("/")
        self._copies = self.readable = (
            Path(tempfile.gettempdir()) / f"recorder-segments-{uuid4().hex}"
        )

    def __str__(self) -> str:
        return str(self._filesystem.unstrip_protocol(self._root))

    def write(self, name: str, fill: Callable[[Path], object]) -> int:
        """See `Folder.write`. Object stores show a file once all of it is there."""
        path = self._copy(name)
        self._copies.mkdir(mode=0o700, exist_ok=True)
        fill(_unfinished(path))
        size_bytes = _unfinished(path).stat().st_size
        self._filesystem.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
        self._filesystem.put_file(str(_unfinished(path)), self._path(name))
        _unfinished(path).rename(path)
        return size_bytes

    def is_there(self, name: str, size_bytes: int) -> bool:
        """See `Folder.is_there`."""
        with suppress(OSError):
            if self._copy(name).exists():
                return self._copy(name).stat().st_size == size_bytes
            return bool(self._filesystem.size(self._path(name)) == size_bytes)
        return False

    def local(self, name: str) -> str:
        """See `Folder.local`."""
        path = self._copy(name)
        if not path.exists():
            self._copies.mkdir(mode=0o700, exist_ok=True)
            handle, unfinished = tempfile.mkstemp(dir=self._copies)
            os.close(handle)
            self._filesystem.get_file(self._path(name), unfinished)
            Path(unfinished).rename(path)  # several readers may have fetched it
        return str(path)

    def delete(self, name: str) -> None:
        """See `Folder.delete`."""
        self._copy(name).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            self._filesystem.rm_file(self._path(name))

    def close(self) -> None:
        """See `Folder.close`."""
        shutil.rmtree(self._copies, ignore_errors=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _copy(self, name: str) -> Path:
        return self._copies / name.replace("/", "-")


def folder_at(where: str) -> Folder:
    """The folder at a path or a URL.

    Raises:
        LogError: The URL's scheme is unknown, or needs a package that is not installed.
    """
    scheme, separator, path = where.partition("://")
    if separator and scheme != "file":
        return RemoteFolder(where)
    return LocalFolder(Path(path if separator else where).expanduser())


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}{_UNFINISHED}")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
