"""The one place where a driver's errors become ours; their text holds no parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.exc import (
    DatabaseError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    TimeoutError,
)

from recorder.errors import LogError, LogUnavailable

_POOL_IS_BUSY: Final = "all connections to the database are busy"


@contextmanager
def translated() -> Iterator[None]:
    """Around what goes through SQLAlchemy."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise LogUnavailable(_one_line(error)) from error
    except TimeoutError as error:
        raise LogUnavailable(_POOL_IS_BUSY) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise LogUnavailable(_one_line(error)) from error
        # Without a statement it was the connecting: an option nobody knows. A bare DatabaseError
        # is SQLite's for a damaged file or one that is no database.
        if error.statement is None or type(error) is DatabaseError:
            raise LogError(_one_line(error)) from error
        raise


def _one_line(error: DBAPIError) -> str:
    return _first_line(error.orig) if error.orig is not None else type(error).__name__


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def raise_translated(engine: Engine, error: BaseException) -> None:
    """Raises what an error of the bare driver means, where it tells of the database; else returns."""
    driver = engine.dialect.loaded_dbapi
    if isinstance(error, driver.Error) and _tells_of_the_database(driver, error):
        raise LogUnavailable(_first_line(error)) from error
    if isinstance(error, DBAPIError):  # from opening the connection
        raise LogUnavailable(_one_line(error)) from error
    if isinstance(error, TimeoutError):
        raise LogUnavailable(_POOL_IS_BUSY) from error


def _tells_of_the_database(driver: Any, error: Exception) -> bool:
    """Whether a driver's error is about the state of the database, not about what was appended.

    PostgreSQL tells by the class of its code: 25 is a server that takes no writes, such as a standby;
    42 says that the tables are not there, or not ours to write. A bare DatabaseError is SQLite's for a
    damaged file.
    """
    if isinstance(error, (driver.OperationalError, driver.InterfaceError)):
        return True
    code = getattr(error, "sqlstate", None) or ""
    return code[:2] in ("25", "42") or type(error) is driver.DatabaseError
