"""Settings from the environment."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

import platformdirs
from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL, make_url

from recorder.lease import LEASE_S
from recorder.sources.http import DEFAULT_FAL_URL, DEFAULT_QUEUE_URL

DEFAULT_JWKS_URL: Final = "https://rest.fal.ai/.well-known/jwks.json"
DEFAULT_API_URL: Final = "https://api.fal.ai"


def _split(value: object) -> object:
    """A list in an environment variable is written with commas."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class ProxySettings(BaseSettings):
    """How requests to fal are passed on; each is `RECORDER_PROXY_` and the name in capitals.

    Attributes:
        record: What is recorded: runs of workflows, calls of single apps as well, or nothing.
        on_client_gone: Whether a run is read to its end when its client has left, or hung up on.
        inject_key: Whether requests without a key of their own go out with `FAL_KEY`, to fal's hosts.
        token: What a client has to send in `x-recorder-token` to have that done; None asks nobody.
        allow: Origins requests may go to beside fal's.
        origins: Origins of web pages that may use the proxy, `*` for all; its own always may.
        max_body_bytes: Longest request body.
        body_timeout_s: How long a request body may take to arrive.
        idle_timeout_s: How long upstream may send nothing.
        public_url: The recorder's address as clients know it, where it cannot be told from requests.
        mode: Whether requests are sent on and recorded, answered from what was recorded, or the first only
            where nothing fits; a client may say otherwise in `x-recorder-mode`.
        replay_speed: How fast recorded runs are played: a number, or `max`.
        replay_ignore: Fields of the input that do not count when a recorded run is looked for.
    """

    model_config = SettingsConfigDict(env_prefix="RECORDER_PROXY_")

    record: Literal["workflows", "all", "none"] = "workflows"
    on_client_gone: Literal["finish", "abort"] = "finish"
    inject_key: bool = False
    token: SecretStr | None = None
    allow: Words = ()
    origins: Words = ()
    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=0)
    body_timeout_s: float = Field(default=60.0, gt=0)
    idle_timeout_s: float = Field(default=3_600.0, gt=0)
    public_url: str | None = None
    mode: Literal["record", "replay", "auto"] = "record"
    replay_speed: str = "1"
    replay_ignore: Words = ()


class WebhookSettings(BaseSettings):
    """How fal's webhooks are taken; each is `RECORDER_WEBHOOK_` and the name in capitals.

    Attributes:
        user_id: The fal account whose webhooks are taken; None takes every account's, for fal signs
            them all with the same keys.
        forward_url: Where each webhook goes on to once it is recorded; None for nowhere.
    """

    model_config = SettingsConfigDict(env_prefix="RECORDER_WEBHOOK_")

    user_id: str | None = None
    forward_url: str | None = None


class Settings(BaseSettings):
    """What the recorder reads from its environment, and nothing else does.

    Attributes:
        database_url: `RECORDER_DATABASE_URL`, a SQLAlchemy URL.
        fal_url: `RECORDER_FAL_URL`, the base that workflow ids are appended to.
        queue_url: `RECORDER_QUEUE_URL`, the same for the queue; fal's own where `fal_url` is fal's, else
            `queue` below it, which is where the emulator has it.
        api_url: `RECORDER_API_URL`, the base of fal's platform API; fal's own where `fal_url` is fal's,
            else there is none: who stands for fal is sent no request nobody made.
        jwks_url: `RECORDER_JWKS_URL`, the keys fal signs webhooks with; fal's own where `fal_url` is
            fal's, else where the emulator has them.
        spool: `RECORDER_SPOOL`, the folder where events wait while the log is away; every log has a
            folder of its own in it.
        lease_s: `RECORDER_LEASE_S`, how long a recorder may be silent before its runs are closed.
        hosts: `RECORDER_HOSTS`, the names the service goes by, `*` for any. Where some are set, it answers
            under no other; where none are, its key is spent under no name that somebody outside may have
            made point here.
        reader_patience_s: `RECORDER_READER_PATIENCE_S`, how long a client of the service may take
            nothing of its answer before it is dropped.
        segments: `RECORDER_SEGMENTS`, where the Parquet segments of analytics are: a folder, or any
            `fsspec` URL; `off` or nothing for nowhere. By default beside the SQLite file, or in the user's
            data folder.
        segment_events: `RECORDER_SEGMENT_EVENTS`, whether events go into segments as well.
        prices: `RECORDER_PRICES`, a file of what apps cost, TOML or JSON; see `analytics.prices`.
        fal_key: `FAL_KEY`; goes to fal's hosts, to `fal_url` and to `api_url` only, and into no log.
        proxy: See `ProxySettings`.
        webhook: See `WebhookSettings`.
    """

    model_config = SettingsConfigDict(env_prefix="RECORDER_", populate_by_name=True)

    database_url: str | None = None
    fal_url: str = DEFAULT_FAL_URL
    queue_url: str | None = None
    api_url: str | None = None
    jwks_url: str | None = None
    spool: Path | None = None
    lease_s: float = Field(default=LEASE_S, gt=0)
    hosts: Words = ()
    reader_patience_s: float = Field(default=30.0, gt=0)
    segments: str | None = None
    segment_events: bool = False
    prices: Path | None = None
    fal_key: SecretStr | None = Field(default=None, validation_alias="FAL_KEY")
    proxy: ProxySettings = Field(default_factory=ProxySettings)
    webhook: WebhookSettings = Field(default_factory=WebhookSettings)

    @cached_property
    def database(self) -> str:
        """The database to use: the one configured, or a SQLite file in the user's data folder."""
        return self.database_url or default_database_url()

    @property
    def queue(self) -> str:
        """The base of fal's queue, or of what stands for it."""
        return self.queue_url or self._beside(DEFAULT_QUEUE_URL, "/queue")

    @property
    def api(self) -> str | None:
        """The base of fal's platform API, or of what stands for it; None where nothing does."""
        own = DEFAULT_API_URL if self._is_fals else None
        return self.api_url.rstrip("/") if self.api_url else own

    @property
    def jwks(self) -> str:
        """Where the keys are published that webhooks are signed with."""
        return self.jwks_url or self._beside(DEFAULT_JWKS_URL, "/.well-known/jwks.json")

    @property
    def _is_fals(self) -> bool:
        return self.fal_url.rstrip("/") == DEFAULT_FAL_URL

    def _beside(self, default: str, path: str) -> str:
        """An address of fal's own where `fal_url` is fal's, else the one below `fal_url`."""
        return default if self._is_fals else f"{self.fal_url.rstrip('/')}{path}"

    def spool_folder(self, database_url: str) -> Path:
        """The spool of a log."""
        parent = self.spool or Path(_directories().user_state_dir) / "spool"
        return parent / _digest(database_url)

    def segments_folder(self, database_url: str) -> str | None:
        """Where the segments of a log are, a path or a URL; None where there are to be none.

        A folder that is named may be shared by several logs: no two files ever have the same name.
        """
        if self.segments is not None:
            return None if self.segments.strip().lower() in ("", "off") else self.segments
        url = make_url(database_url)
        if url.get_backend_name() == "sqlite":
            return f"{url.database}.segments"
        return str(Path(_directories().user_data_dir) / "segments" / _digest(database_url))

    @property
    def key(self) -> str | None:
        """The fal key in the clear, None where none or a blank one is set."""
        return (self.fal_key.get_secret_value().strip() or None) if self.fal_key else None


def _digest(database_url: str) -> str:
    return hashlib.sha256(database_url.encode()).hexdigest()[:16]


def default_database_url() -> str:
    """A SQLite file in the user's data folder."""
    path = Path(_directories().user_data_dir) / "runs.db"
    return URL.create("sqlite", database=str(path)).render_as_string()


def _directories() -> platformdirs.PlatformDirs:
    return platformdirs.PlatformDirs("fal-flight-recorder", appauthor=False)
