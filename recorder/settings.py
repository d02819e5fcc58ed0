"""Settings from the environment."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL

from recorder.lease import LEASE_S
from recorder.sources.http import DEFAULT_FAL_URL


class Settings(BaseSettings):
    """What the recorder reads from its environment, and nothing else does.

    Attributes:
        database_url: `RECORDER_DATABASE_URL`, a SQLAlchemy URL.
        fal_url: `RECORDER_FAL_URL`, the base that workflow ids are appended to.
        spool: `RECORDER_SPOOL`, the folder where events wait while the log is away; every log has a
            folder of its own in it.
        lease_s: `RECORDER_LEASE_S`, how long a recorder may be silent before its runs are closed.
        reader_patience_s: `RECORDER_READER_PATIENCE_S`, how long a client of the service may take
            nothing of its answer before it is dropped.
        fal_key: `FAL_KEY`; goes to fal's hosts and to `fal_url` only, and into no log.
    """

    model_config = SettingsConfigDict(env_prefix="RECORDER_", populate_by_name=True)

    database_url: str | None = None
    fal_url: str = DEFAULT_FAL_URL
    spool: Path | None = None
    lease_s: float = Field(default=LEASE_S, gt=0)
    reader_patience_s: float = Field(default=30.0, gt=0)
    fal_key: SecretStr | None = Field(default=None, validation_alias="FAL_KEY")

    @cached_property
    def database(self) -> str:
        """The database to use: the one configured, or a SQLite file in the user's data folder."""
        return self.database_url or default_database_url()

    def spool_folder(self, database_url: str) -> Path:
        """The spool of a log."""
        name = hashlib.sha256(database_url.encode()).hexdigest()[:16]
        parent = self.spool or Path(_directories().user_state_dir) / "spool"
        return parent / name

    @property
    def key(self) -> str | None:
        """The fal key in the clear, None where none or a blank one is set."""
        return (self.fal_key.get_secret_value().strip() or None) if self.fal_key else None


def default_database_url() -> str:
    """A SQLite file in the user's data folder."""
    path = Path(_directories().user_data_dir) / "runs.db"
    return URL.create("sqlite", database=str(path)).render_as_string()


def _directories() -> platformdirs.PlatformDirs:
    return platformdirs.PlatformDirs("fal-flight-recorder", appauthor=False)
