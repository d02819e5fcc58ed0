"""Settings from the environment."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL

from recorder.sources.http import DEFAULT_FAL_URL


class Settings(BaseSettings):
    """What the recorder reads from its environment, and nothing else does.

    Attributes:
        database_url: `RECORDER_DATABASE_URL`, a SQLAlchemy URL.
        fal_url: `RECORDER_FAL_URL`, the base that workflow ids are appended to.
        fal_key: `FAL_KEY`; goes to fal's hosts and to `fal_url` only, and into no log.
    """

    model_config = SettingsConfigDict(env_prefix="RECORDER_", populate_by_name=True)

    database_url: str | None = None
    fal_url: str = DEFAULT_FAL_URL
    fal_key: SecretStr | None = Field(default=None, validation_alias="FAL_KEY")

    @cached_property
    def database(self) -> str:
        """The database to use: the one configured, or a SQLite file in the user's data folder."""
        return self.database_url or default_database_url()

    @property
    def key(self) -> str | None:
        """The fal key in the clear, None where none or a blank one is set."""
        return (self.fal_key.get_secret_value().strip() or None) if self.fal_key else None


def default_database_url() -> str:
    """A SQLite file in the user's data folder."""
    path = Path(platformdirs.user_data_dir("fal-flight-recorder", appauthor=False)) / "runs.db"
    return URL.create("sqlite", database=str(path)).render_as_string()
